package natsrun

import (
	"net/url"
	"slices"
	"strings"
)

const wantURL = "one or more NATS servers such as nats://host:4222, separated by commas"

var schemes = [...]string{"nats", "tls", "ws", "wss"}

// parseURL reads servers as the NATS client does: separated by commas, with an optional scheme. It returns false in
// place of an error, because the error of url.Parse repeats the text, which may hold a password.
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
		// A user part that has an unescaped / ? or # looks like a host with a path.
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

// redactURL replaces the user, password or token of each server. It replaces everything before the last @ if it is not
// certain which part is a secret: if a server cannot be parsed, or if a password may hold a comma or an @.
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

// redactText replaces everything between the scheme and the last @.
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
