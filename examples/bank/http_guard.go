package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// authorize wants the token, if there is one. The comparison takes the same time whatever was sent.
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

// checkHost refuses names that only seem to be this machine. Without a token, being on this machine is what lets a client
// in; a page elsewhere whose name was made to resolve to 127.0.0.1 would have the same origin as this server.
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

// setSecurityHeaders lets the page do what it does and no more: its own files, its own server, nothing inline, no frames.
func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}
