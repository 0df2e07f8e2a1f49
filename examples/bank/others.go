package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/runnel-go/runnel/examples/bank/otherbank"
	"github.com/runnel-go/runnel/reactor"
)

// others is the client of the other banks over HTTP. A nil *others means that there are no other banks.
type others struct {
	url    string
	client *http.Client
}

func newOthers(url string) *others {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 64}
	return &others{url: url, client: &http.Client{Transport: transport, Timeout: 10 * time.Second, CheckRedirect: refuseRedirect}}
}

// refuseRedirect makes a redirect an answer. A POST or a DELETE that follows one becomes a GET, whose 200 says nothing.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// close closes the connections.
func (o *others) close() {
	if o != nil {
		o.client.CloseIdleConnections()
	}
}

// pay asks another bank to pay. The bank recognizes a repeat by the key.
func (o *others) pay(ctx context.Context, id, key string, p Payment) error {
	body, err := json.Marshal(otherbank.Payment{ID: id, Bank: p.Bank, Account: p.To, Amount: p.Amount, Text: p.Text})
	if err != nil {
		return reactor.Permanent(err)
	}
	return o.do(ctx, http.MethodPost, "/payments", key, body)
}

// cancel tells another bank to forget a payment. It may come before the payment itself.
func (o *others) cancel(ctx context.Context, key string) error {
	return o.do(ctx, http.MethodDelete, "/payments/"+url.PathEscape(key), "", nil)
}

func (o *others) do(ctx context.Context, method, path, key string, body []byte) error {
	if o == nil {
		return reactor.Permanent(fmt.Errorf("bank: no other banks are configured: set BANK_OTHER_BANKS"))
	}
	request, err := http.NewRequestWithContext(ctx, method, o.url+path, bytes.NewReader(body))
	if err != nil {
		return reactor.Permanent(err)
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	request.Header.Set("Content-Type", "application/json")
	return deliver(o.client, request, "the other bank")
}

// deliver sends a request and returns an error unless it was accepted.
func deliver(client *http.Client, request *http.Request, to string) error {
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if err != nil {
		return err
	}
	return refusal(to, response.StatusCode, text)
}

// refusal returns the error for an answer. It is permanent if the same request would be refused again.
func refusal(to string, status int, text []byte) error {
	err := fmt.Errorf("bank: %s answers %d: %s", to, status, text)
	switch {
	case status < http.StatusMultipleChoices:
		return nil
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return err
	}
	return reactor.Permanent(err)
}

// checkOthers returns an error if no payment can be sent to the URL.
func checkOthers(at string) error {
	if at == "" {
		return nil
	}
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" {
		return fmt.Errorf("BANK_OTHER_BANKS %q: use a URL without a path, such as https://clearing.example.com", at)
	}
	return nil
}
