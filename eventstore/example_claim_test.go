package eventstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
)

// Attached says that a document was attached. The document itself is in an object store, under its digest.
type Attached struct {
	Digest    string // SHA-256, in hexadecimal
	Size      int    // in bytes
	MediaType string
}

func (Attached) EventType() string { return "contract.document.attached" }

// putDocument stores a document and returns the event that stands for it. The name is the content's own, so that
// putting it again, after a conflict or a crash, is harmless.
func putDocument(ctx context.Context, documents jetstream.ObjectStore, mediaType string, document []byte) (Attached, error) {
	digest := sha256.Sum256(document)
	name := hex.EncodeToString(digest[:])
	if _, err := documents.PutBytes(ctx, name, document); err != nil {
		return Attached{}, fmt.Errorf("put document %s: %w", name, err)
	}
	return Attached{Digest: name, Size: len(document), MediaType: mediaType}, nil
}

// getDocument returns the document that an event stands for, and nothing else: what the log vouches for is its digest.
func getDocument(ctx context.Context, documents jetstream.ObjectStore, a Attached) ([]byte, error) {
	document, err := documents.GetBytes(ctx, a.Digest)
	if err != nil {
		return nil, fmt.Errorf("get document %s: %w", a.Digest, err)
	}
	if digest := sha256.Sum256(document); hex.EncodeToString(digest[:]) != a.Digest {
		return nil, fmt.Errorf("document %s: its content has the digest %x", a.Digest, digest)
	}
	return document, nil
}

// A document that is too large for a commit, or that must be erasable on its own, is put into an object store, and its
// event carries a claim check: digest, size and media type.
//
// The order matters. The object comes before the event, so a reader of the event finds the document. A failure in
// between leaves an orphan: an object that no event names. Orphans only cost storage. A job may delete objects that no
// event in the log names, if they were put longer ago than any append takes. The other order would leave an event whose
// document never comes.
//
// To erase a document, delete the object, unless another event has the same content and so the same name. The event
// stays, and getDocument fails with jetstream.ErrObjectNotFound, which readers must expect. The digest also stays. If
// content can be guessed, the digest confirms a right guess, so put something random into such documents.
func Example_claimCheck() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Attached{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	documents, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "documents"})
	if err != nil {
		log.Fatal(err)
	}

	contract := bytes.Repeat([]byte("Whereas the parties agree. "), 100_000)
	attached, err := putDocument(ctx, documents, "text/plain", contract)
	if err != nil {
		log.Fatal(err)
	}
	stream := eventstore.StreamID{Category: "contract", ID: "7"}
	if _, err := store.Append(ctx, stream, eventstore.Head{}, attached); err != nil {
		log.Fatal(err)
	}

	for recorded, err := range store.Stream(ctx, stream) {
		if err != nil {
			log.Fatal(err)
		}
		events, err := recorded.Decode()
		if err != nil {
			log.Fatal(err)
		}
		for _, event := range events {
			document, err := getDocument(ctx, documents, event.(Attached))
			fmt.Println(recorded.Type(), len(document), "bytes, as sent:", bytes.Equal(document, contract), err)
		}
	}

	// A document that differs from the digest in its event is refused.
	if _, err := documents.PutString(ctx, attached.Digest, "Whereas the parties disagree."); err != nil {
		log.Fatal(err)
	}
	_, err = getDocument(ctx, documents, attached)
	fmt.Println(err != nil)
	// Output:
	// contract.document.attached 2700000 bytes, as sent: true <nil>
	// true
}
