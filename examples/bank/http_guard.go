package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// authorize returns an error if a token is required and the request does not have it. The comparison takes the same
// time for every token.
func (s *server) authorize(r *http.Request) error {
	if s.token == "" {
		return nil
	}
	scheme, sent, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	have, want := sha256.Sum256([]byte(sent)), sha256.Sum256([]byte(s.token))
	if subtle.ConstantTimeCompare(have[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	p := newProblem(http.StatusUnauthorized, "send the bank's token: Authorization: Bearer ...")
	p.header = map[string]string{"WWW-Authenticate": `Bearer realm="bank"`}
	return p
}

// checkHost refuses requests for another host name if there is no token. Only clients on this machine are let in
// then. A page of another site could make its own name resolve to 127.0.0.1 and would have the same origin as this
// server.
func (s *server) checkHost(r *http.Request) error {
	if s.token != "" {
		return nil
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if isLoopback(net.JoinHostPort(strings.Trim(host, "[]"), "0")) {
		return nil
	}
	return newProblem(http.StatusMisdirectedRequest, "this server is called 127.0.0.1 or localhost")
}

// setSecurityHeaders restricts the page to its own files and its own server. It forbids inline scripts and frames.
func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}
