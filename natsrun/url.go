package natsrun

import (
	"net/url"
	"slices"
	"strings"
)

const wantURL = "one or more NATS servers such as nats://host:4222, separated by commas"

var schemes = [...]string{"nats", "tls", "ws", "wss"}

// parseURL reads servers the way the NATS client does: separated by commas,
// the scheme optional. Its error is a bool, because url.Parse repeats what it
// could not read, and that may hold a password.
func parseURL(s string) (servers []*url.URL, ok bool) {
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if !strings.Contains(part, "://") {
			part = "nats://" + part
		}
		u, err := url.Parse(part)
		if err != nil || u.Hostname() == "" || !slices.Contains(schemes[:], u.Scheme) {
			return nil, false
		}
		// A password with an unescaped / ? or # reads as a host with a path.
		if !strings.HasPrefix(u.Scheme, "ws") && strings.TrimPrefix(u.Path, "/")+u.RawQuery+u.Fragment != "" {
			return nil, false
		}
		servers = append(servers, u)
	}
	return servers, len(servers) > 0
}

func validURL(s string) bool {
	_, ok := parseURL(s)
	return ok
}

// redactURL replaces the user, password or token of each server. Where it
// cannot be sure which part of the text is a secret, because a server cannot be
// read, or because a password may hold a comma or an @, everything before the
// last @ goes.
func redactURL(s string) string {
	servers, ok := parseURL(s)
	withUser := 0
	for _, u := range servers {
		if u.User != nil {
			withUser++
		}
	}
	certain := strings.Count(s, "@") == withUser && (withUser == 0 || withUser == len(servers))
	if !ok || !certain {
		return redactText(s)
	}
	user := ""
	if withUser != 0 {
		user = "xxxxx@"
	}
	texts := make([]string, len(servers))
	for i, u := range servers {
		texts[i] = u.Scheme + "://" + user + u.Host
	}
	return strings.Join(texts, ",")
}

func redactText(s string) string {
	at := strings.LastIndex(s, "@")
	if at < 0 {
		return s
	}
	for _, scheme := range schemes {
		if strings.HasPrefix(s, scheme+"://") {
			return scheme + "://xxxxx" + s[at:]
		}
	}
	return "xxxxx" + s[at:]
}
