package natsrun

import (
	"fmt"
	"log/slog"
	"sync"
)

// serverLog is the embedded server's logger. It writes the server's notices, which are about its start and its stop, at
// the debug level. It drops the server's own debug and trace output.
type serverLog struct {
	logger *slog.Logger

	mu    sync.Mutex // guards fatal
	fatal error      // why the server gave up; the server reports that in no other way
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

// failure returns why the server gave up, or nil.
func (l *serverLog) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}
