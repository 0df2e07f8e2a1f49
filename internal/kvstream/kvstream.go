// Package kvstream says how JetStream keeps a NATS KV bucket. Package kv opens buckets, package control creates one,
// and an import of package eventstore restores them, so they must agree.
package kvstream

import "github.com/nats-io/nats.go/jetstream"

// MetadataCodec is the key under which the metadata of a bucket's JetStream stream names the codec of the documents.
const MetadataCodec = "runnel-kv-codec"

// Name returns the name of a bucket's JetStream stream.
func Name(bucket string) string { return "KV_" + bucket }

// Subject returns the subject of an encoded key, or of a filter of them.
func Subject(bucket, key string) string { return "$KV." + bucket + "." + key }

// Settings returns the settings that nats.go's CreateKeyValue makes, and atomic batches.
func Settings(bucket string, storage jetstream.StorageType, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               Name(bucket),
		Subjects:           []string{Subject(bucket, ">")},
		Storage:            storage,
		Replicas:           replicas,
		MaxMsgsPerSubject:  1,
		MaxBytes:           -1,
		MaxMsgSize:         -1,
		MaxMsgs:            -1,
		MaxConsumers:       -1,
		Discard:            jetstream.DiscardNew,
		AllowRollup:        true,
		DenyDelete:         true,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		Metadata:           make(map[string]string),
	}
}
