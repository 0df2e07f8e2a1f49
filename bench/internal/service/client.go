package service

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Client sends requests to a service, over connections that stay open.
type Client struct {
	url  string
	http *http.Client
}

// NewClient returns a client that keeps as many connections as it has callers at a time. Close it.
func NewClient(p *Process, callers int) *Client {
	return &Client{url: p.URL, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}}
}

// Close closes the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Post sends a JSON document and reads the whole answer. It returns an error unless the status is one of 200 to 299.
func (c *Client) Post(ctx context.Context, path, document string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, strings.NewReader(document))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(request)
	if err != nil {
		return err
	}
	said, err := io.ReadAll(answer.Body)
	if closed := answer.Body.Close(); err == nil {
		err = closed
	}
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("POST %s: %s: %s", path, answer.Status, said)
	}
	return err
}
