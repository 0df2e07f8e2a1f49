package natsrun_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/natsrun"
)

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, set := env[name]
		return value, set
	}
}

func TestFromEnvReadsEveryVariable(t *testing.T) {
	cfg, err := natsrun.FromEnv(lookup(map[string]string{
		"NATS_URL":                  "nats://a:4222, tls://ada:secret@b",
		"SERVICE_NAME":              "bank",
		"LOG_LEVEL":                 "WARN",
		"GRACEFUL_SHUTDOWN_TIMEOUT": "1m30s",
		"MAX_RECONNECT_ATTEMPTS":    "5",
		"JETSTREAM_ENABLED":         "true",
		"JETSTREAM_SYNC":            "none",
	}))
	require.NoError(t, err)
	require.Equal(t, &natsrun.Config{
		URL:             "nats://a:4222, tls://ada:secret@b",
		ServiceName:     "bank",
		LogLevel:        slog.LevelWarn,
		ShutdownTimeout: 90 * time.Second,
		Sync:            natsrun.SyncNone,
		MaxReconnects:   5,
	}, cfg)
}

func TestFromEnvTakesWhatIsNotSetAsTheDefault(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"not set": {},
		"set to nothing": {
			"NATS_URL": "", "SERVICE_NAME": "", "LOG_LEVEL": "", "GRACEFUL_SHUTDOWN_TIMEOUT": "",
			"MAX_RECONNECT_ATTEMPTS": "", "JETSTREAM_ENABLED": "", "JETSTREAM_SYNC": "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := natsrun.FromEnv(lookup(env))
			require.NoError(t, err)
			require.Equal(t, &natsrun.Config{}, cfg)
		})
	}
}

func TestFromEnvReadsTheProcessEnvironmentWithoutALookup(t *testing.T) {
	t.Setenv("SERVICE_NAME", "from-the-process")
	cfg, err := natsrun.FromEnv(nil)
	require.NoError(t, err)
	require.Equal(t, "from-the-process", cfg.ServiceName)
}

func TestFromEnvRefuses(t *testing.T) {
	for _, tt := range []struct{ name, value, shown string }{
		{"NATS_URL", "http://host", "http://host"},
		{"NATS_URL", "nats://", "nats://"},
		{"NATS_URL", ",", ","},
		{"NATS_URL", "nats://ada:secret@host:port", "nats://xxxxx@host:port"},
		{"NATS_URL", "nats://ada:1/secret@host", "nats://xxxxx@host"},
		{"NATS_URL", "nats://ada:%zz@host", "nats://xxxxx@host"},
		{"SERVICE_NAME", "two words", "two words"},
		{"SERVICE_NAME", strings.Repeat("x", 65), strings.Repeat("x", 65)},
		{"SERVICE_NAME", "größe", "größe"},
		{"LOG_LEVEL", "loud", "loud"},
		{"GRACEFUL_SHUTDOWN_TIMEOUT", "10", "10"},
		{"GRACEFUL_SHUTDOWN_TIMEOUT", "0s", "0s"},
		{"GRACEFUL_SHUTDOWN_TIMEOUT", "-1s", "-1s"},
		{"JETSTREAM_SYNC", "unknown", "unknown"},
		{"JETSTREAM_SYNC", "Always", "Always"},
		{"MAX_RECONNECT_ATTEMPTS", "many", "many"},
		{"MAX_RECONNECT_ATTEMPTS", "0", "0"},
		{"MAX_RECONNECT_ATTEMPTS", "-2", "-2"},
		{"JETSTREAM_ENABLED", "false", "false"},
		{"JETSTREAM_ENABLED", "maybe", "maybe"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			cfg, err := natsrun.FromEnv(lookup(map[string]string{tt.name: tt.value}))
			require.Nil(t, cfg)
			require.ErrorIs(t, err, natsrun.ErrConfig)
			wrong, ok := errors.AsType[*natsrun.EnvError](err)
			require.True(t, ok)
			require.Equal(t, tt.name, wrong.Name)
			require.Equal(t, tt.shown, wrong.Value)
			require.NotEmpty(t, wrong.Want)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestFromEnvReportsAllThatIsWrongAtOnce(t *testing.T) {
	names := []string{
		"NATS_URL", "SERVICE_NAME", "LOG_LEVEL", "GRACEFUL_SHUTDOWN_TIMEOUT", "JETSTREAM_SYNC", "MAX_RECONNECT_ATTEMPTS", "JETSTREAM_ENABLED",
	}
	env := map[string]string{}
	for _, name := range names {
		env[name] = "not valid"
	}
	_, err := natsrun.FromEnv(lookup(env))
	require.Error(t, err)
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok)
	var got []string
	for _, err := range joined.Unwrap() {
		wrong, ok := errors.AsType[*natsrun.EnvError](err)
		require.True(t, ok)
		got = append(got, wrong.Name)
	}
	require.Equal(t, names, got)
}

func TestOpenReportsEveryWrongFieldWithoutStarting(t *testing.T) {
	_, err := natsrun.Open(t.Context(), &natsrun.Config{
		URL:             "gopher://ada:secret@host",
		ServiceName:     "a b",
		ShutdownTimeout: -1,
		MaxReconnects:   -2,
		Sync:            natsrun.SyncUnknown,
		MaxStore:        -1,
	})
	require.ErrorIs(t, err, natsrun.ErrConfig)
	for _, field := range []string{"URL", "ServiceName", "ShutdownTimeout", "MaxReconnects", "Sync", "MaxStore"} {
		require.ErrorContains(t, err, "Config."+field+" ")
	}
	require.NotContains(t, err.Error(), "secret")
}

func TestLoggerWritesTheServiceAtItsLevel(t *testing.T) {
	var out bytes.Buffer
	logger := natsrun.NewLogger(&natsrun.Config{ServiceName: "bank", LogLevel: slog.LevelWarn}, &out)
	logger.Info("not written")
	logger.Warn("written")
	require.NotContains(t, out.String(), "not written")
	require.Contains(t, out.String(), `"level":"WARN","msg":"written","service":"bank"`)

	out.Reset()
	natsrun.NewLogger(&natsrun.Config{LogText: true}, &out).Info("hello")
	require.Contains(t, out.String(), "level=INFO msg=hello service=runnel")

	out.Reset()
	natsrun.NewLogger(nil, &out).Info("hello")
	require.Contains(t, out.String(), `"service":"runnel"`)
}
