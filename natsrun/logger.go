package natsrun

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
)

// NewLogger returns a logger that writes records of cfg's LogLevel and above to
// w, as JSON, or as text if LogText is set, each with the attribute "service".
// A nil cfg means the defaults.
func NewLogger(cfg *Config, w io.Writer) *slog.Logger {
	if cfg == nil {
		cfg = &Config{}
	}
	name := cfg.ServiceName
	if name == "" {
		name = defaultName
	}
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	var handler slog.Handler = slog.NewJSONHandler(w, opts)
	if cfg.LogText {
		handler = slog.NewTextHandler(w, opts)
	}
	return slog.New(handler).With("service", name)
}

// serverLog is the embedded server's logger. The server's notices are about
// its own start and stop and go to the debug level; its own debug and trace
// output stays off.
type serverLog struct {
	logger *slog.Logger

	mu    sync.Mutex // protects fatal
	fatal error      // why the server gave up; it reports that in no other way
}

func (l *serverLog) Noticef(format string, v ...any) { l.logger.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Warnf(format string, v ...any)   { l.logger.Warn(fmt.Sprintf(format, v...)) }
func (l *serverLog) Errorf(format string, v ...any)  { l.logger.Error(fmt.Sprintf(format, v...)) }
func (l *serverLog) Debugf(string, ...any)           {}
func (l *serverLog) Tracef(string, ...any)           {}

func (l *serverLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	l.logger.Error(err.Error())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fatal = err
}

func (l *serverLog) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}
