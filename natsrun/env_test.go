package natsrun_test

import (
	"fmt"
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
		"GRACEFUL_SHUTDOWN_TIMEOUT": "1m30s",
		"MAX_RECONNECT_ATTEMPTS":    "5",
		"JETSTREAM_SYNC":            "none",
	}))
	require.NoError(t, err)
	require.Equal(t, &natsrun.Config{
		URL:             "nats://a:4222, tls://ada:secret@b",
		ServiceName:     "bank",
		ShutdownTimeout: 90 * time.Second,
		Sync:            natsrun.SyncNone,
		MaxReconnects:   5,
	}, cfg)
}

func TestFromEnvTakesWhatIsNotSetAsTheDefault(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"not set": {},
		"set to nothing": {
			"NATS_URL": "", "SERVICE_NAME": "", "GRACEFUL_SHUTDOWN_TIMEOUT": "", "MAX_RECONNECT_ATTEMPTS": "", "JETSTREAM_SYNC": "",
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
		{"GRACEFUL_SHUTDOWN_TIMEOUT", "10", "10"},
		{"GRACEFUL_SHUTDOWN_TIMEOUT", "0s", "0s"},
		{"GRACEFUL_SHUTDOWN_TIMEOUT", "-1s", "-1s"},
		{"JETSTREAM_SYNC", "unknown", "unknown"},
		{"JETSTREAM_SYNC", "Always", "Always"},
		{"MAX_RECONNECT_ATTEMPTS", "many", "many"},
		{"MAX_RECONNECT_ATTEMPTS", "0", "0"},
		{"MAX_RECONNECT_ATTEMPTS", "-2", "-2"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			cfg, err := natsrun.FromEnv(lookup(map[string]string{tt.name: tt.value}))
			require.Nil(t, cfg)
			require.ErrorIs(t, err, natsrun.ErrConfig)
			require.ErrorContains(t, err, fmt.Sprintf("environment variable %s is %q: want ", tt.name, tt.shown))
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestFromEnvReportsAllThatIsWrongAtOnce(t *testing.T) {
	names := []string{"NATS_URL", "SERVICE_NAME", "GRACEFUL_SHUTDOWN_TIMEOUT", "JETSTREAM_SYNC", "MAX_RECONNECT_ATTEMPTS"}
	env := map[string]string{}
	for _, name := range names {
		env[name] = "not valid"
	}
	_, err := natsrun.FromEnv(lookup(env))
	require.ErrorIs(t, err, natsrun.ErrConfig)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, len(names))
	for i, name := range names {
		require.Contains(t, lines[i], " "+name+" ")
	}
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

func TestFieldsWithoutAValueTakeTheirDefaults(t *testing.T) {
	rt := open(t, natsrun.Config{DataDir: t.TempDir()})
	require.Equal(t, "runnel", rt.Conn().Opts.Name)
	require.Equal(t, -1, rt.Conn().Opts.MaxReconnect)
	require.Equal(t, 10*time.Second, rt.Conn().Opts.DrainTimeout)
	require.Equal(t, 8*time.Second, rt.NewGroup().StopTimeout)
}
