package eventstore_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/defaults/defaultstest"
)

func TestWrongValuesOfAConfigAreRefusedBeforeAServerIsAsked(t *testing.T) {
	open := func(cfg *eventstore.Config) error {
		_, err := eventstore.Open(t.Context(), nil, "bank", nil, cfg)
		return err
	}
	defaultstest.Refused(t, eventstore.ErrSettings, open, map[string][]eventstore.Config{
		"Codec":         {{Codec: "xml"}},
		"Replicas":      {{Replicas: -1}, {Replicas: 6}},
		"MaxBytes":      {{MaxBytes: -1}},
		"Storage":       {{Storage: 7}, {Storage: -1}},
		"Compression":   {{Compression: 7}},
		"CompressAbove": {{CompressAbove: -1}},
		"AppendTimeout": {{AppendTimeout: -1}},
		"AckTimeout":    {{AckTimeout: -1}},
		"ReadTimeout":   {{ReadTimeout: -1}},
	})
}

func TestVerifyRefusesANegativeNumberOfFaults(t *testing.T) {
	store := open(t, nil)
	verify := func(cfg *eventstore.VerifyConfig) error {
		_, err := store.Verify(t.Context(), cfg)
		return err
	}
	defaultstest.Refused(t, eventstore.ErrSettings, verify, map[string][]eventstore.VerifyConfig{"MaxFaults": {{MaxFaults: -1}}})
}

func TestImportRefusesSettingsThatAreNotTheArchives(t *testing.T) {
	store := open(t, nil)
	var archive bytes.Buffer
	_, err := store.Export(t.Context(), &archive, nil)
	require.NoError(t, err)
	imported := func(cfg *eventstore.ImportConfig) error {
		_, err := eventstore.Import(t.Context(), nil, bytes.NewReader(archive.Bytes()), cfg)
		return err
	}
	defaultstest.Refused(t, eventstore.ErrSettings, imported, map[string][]eventstore.ImportConfig{
		"Store.Codec":   {{Store: &eventstore.Config{Codec: eventstore.JSON}}},
		"Store.Erasure": {{Store: &eventstore.Config{Erasure: true}}},
		"Replicas":      {{Store: &eventstore.Config{Replicas: -1}}},
	})
}
