package eventstoretest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// A frame is one operation of the NATS client protocol: a line, and for the
// four operations that carry a message, the message after it.
//
//	PUB  <subject> [reply] <bytes>                   client to server
//	HPUB <subject> [reply] <header bytes> <bytes>
//	MSG  <subject> <sid> [reply] <bytes>             server to client
//	HMSG <subject> <sid> [reply] <header bytes> <bytes>
//
// Everything else (INFO, CONNECT, SUB, UNSUB, PING, PONG, +OK, -ERR) is its line.
type frame struct {
	raw     []byte // as it was on the wire, line ends included
	op      string // in capitals; the protocol takes either case
	args    []string
	body    []byte // headers and payload, without the line end
	headers int    // bytes of body that are headers
}

// maxBody bounds what a frame claims to carry. It is the most that a server
// lets max_payload be.
const maxBody = 64 << 20

// readFrame reads the next frame. It returns io.EOF at the end of the stream, and
// io.ErrUnexpectedEOF inside a frame.
func readFrame(r *bufio.Reader) (frame, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		if len(line) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	f := frame{raw: line}
	if fields := strings.Fields(string(line)); len(fields) > 0 {
		f.op, f.args = strings.ToUpper(fields[0]), fields[1:]
	}
	if !f.isPublish() && !f.isMessage() {
		return f, nil
	}
	return f, f.readBody(r)
}

func (f *frame) readBody(r *bufio.Reader) error {
	size, err := f.size(1)
	if err != nil {
		return err
	}
	if f.op[0] == 'H' {
		if f.headers, err = f.size(2); err != nil {
			return err
		}
	}
	if f.headers > size || len(f.args) < f.minArgs() {
		return fmt.Errorf("eventstoretest: malformed frame %q", f.raw)
	}
	// The buffer grows with the data that arrives, and not with the claim in the line.
	body := bytes.NewBuffer(f.raw)
	if _, err := io.CopyN(body, r, int64(size)+2); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	line := len(f.raw)
	f.raw = body.Bytes()
	f.body = f.raw[line : line+size]
	return nil
}

// size is the number at the given place from the end of the line.
func (f *frame) size(fromEnd int) (int, error) {
	if len(f.args) < fromEnd {
		return 0, fmt.Errorf("eventstoretest: malformed frame %q", f.raw)
	}
	n, err := strconv.Atoi(f.args[len(f.args)-fromEnd])
	if err != nil || n < 0 || n > maxBody {
		return 0, fmt.Errorf("eventstoretest: malformed size in frame %q", f.raw)
	}
	return n, nil
}

// minArgs is how many arguments the operation has without its reply subject.
func (f *frame) minArgs() int {
	return map[string]int{"PUB": 2, "HPUB": 3, "MSG": 3, "HMSG": 4}[f.op]
}

func (f *frame) isPublish() bool { return f.op == "PUB" || f.op == "HPUB" }
func (f *frame) isMessage() bool { return f.op == "MSG" || f.op == "HMSG" }

func (f *frame) subject() string { return f.args[0] }
func (f *frame) payload() []byte { return f.body[f.headers:] }
func (f *frame) hasReply() bool  { return len(f.args) > f.minArgs() }

// reply is the reply subject of a message, or "".
func (f *frame) reply() string {
	if !f.hasReply() {
		return ""
	}
	return f.args[2]
}

// isAck reports whether the frame is the positive answer to a publish. The
// server sends it without headers and without a reply subject, which tells it
// from an event of the same shape; "type" marks the answers of the JetStream API.
func (f *frame) isAck() bool {
	if f.op != "MSG" || f.hasReply() {
		return false
	}
	var ack struct {
		Stream string          `json:"stream"`
		Seq    uint64          `json:"seq"`
		Type   string          `json:"type"`
		Error  json.RawMessage `json:"error"`
	}
	err := json.Unmarshal(f.payload(), &ack)
	return err == nil && ack.Stream != "" && ack.Seq > 0 && ack.Type == "" && ack.Error == nil
}

// setPayload replaces the payload of a publish or a message.
func (f *frame) setPayload(payload []byte) {
	body := slices.Concat(f.body[:f.headers], payload)
	f.args[len(f.args)-1] = strconv.Itoa(len(body))
	line := fmt.Appendf(nil, "%s %s\r\n", f.op, strings.Join(f.args, " "))
	f.raw = slices.Concat(line, body, []byte("\r\n"))
	f.body = f.raw[len(line) : len(line)+len(body)]
}

// rewriteInfo takes the addresses of other servers out of an INFO line, because a client that learns them goes
// round the proxy. It applies edit to the rest.
func (f *frame) rewriteInfo(edit func([]byte) []byte) error {
	_, body, _ := bytes.Cut(bytes.TrimSpace(f.raw), []byte(" "))
	var info map[string]json.RawMessage
	if err := json.Unmarshal(body, &info); err != nil {
		return fmt.Errorf("eventstoretest: malformed frame %q: %w", f.raw, err)
	}
	delete(info, "connect_urls")
	delete(info, "ws_connect_urls")
	body, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("eventstoretest: encode INFO: %w", err)
	}
	if edit != nil {
		body = edit(body)
	}
	f.raw = fmt.Appendf(nil, "INFO %s\r\n", body)
	return nil
}
