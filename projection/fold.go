package projection

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/guard"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// document is a document while it is folded.
type document[V any] struct {
	value   V
	at      eventstore.Position // of the event that changed it last, 0 if it was read from the bucket
	index   int32               // of that event in its commit
	encoded []byte              // the value as it is written, or nil
	opaque  bool                // there is only encoded, since that does not decode
	deleted bool
}

// documents holds the documents that a folder reads and changes: the cache of a live runner over its bucket, or
// the memory of a build. An error of get that matches kv.ErrDecode is about that document alone.
type documents[V any] interface {
	get(ctx context.Context, key string) (document[V], error)
	set(ctx context.Context, key string, d document[V]) error
}

// folder folds commits into documents, and knows which keys are parked:
//
//	commits -> plan -> units -> fold -> step, step, ... -> settle: park the key, or set the document
//
// A careful folder encodes each document after each event, so it knows the event after which a document cannot be
// stored, and how the document was before. One that is not careful returns errUnsure instead of parking a key.
//
// All code of the user runs under guard. If it ends the goroutine or does not return, the folder goes on after it on
// another goroutine, from where next and touched say that it stands.
type folder[V any] struct {
	spec    *spec[V]
	sink    *kv.Bucket[V] // where documents are stored
	careful bool
	parked  map[string]Parked
	newly   map[string]Parked // those parked, or counted up, since they were last written
	skipped map[string]Parked // events that operators have discarded, by key; nil outside of a replay

	calls   *guard.Calls
	wanted  []eventstore.Recorded // room for plan
	unit    int                   // of those that are being folded
	next    int                   // step of the unit
	settled int                   // of touched
	touched []touched[V]          // by the event that is being folded
	current int                   // of touched, in whose name user code runs; none for no
}

// errUnsure says that an event cannot be folded, or that a document cannot be stored, and that a careful folder has to
// find out which key is to be parked, and how its document was before.
var errUnsure = errors.New("the events must be folded one by one")

// none is the index of no element.
const none = -1

func newFolder[V any](of *spec[V]) *folder[V] {
	return &folder[V]{spec: of, careful: of.cfg.Park, current: none, parked: make(map[string]Parked), newly: make(map[string]Parked)}
}

// touched is a document while one event is folded into it.
type touched[V any] struct {
	key      string
	recorded eventstore.Recorded
	document[V]
	saved   []byte // the document before the event, encoded, if the fold may have changed what it refers to
	changed bool
	waits   bool   // the key was parked before the event
	skips   bool   // the event was discarded for the key
	err     error  // why the key must be parked
	source  string // the parked key from which the document would have come
}

// out reports whether the event changes nothing more under the key.
func (t *touched[V]) out() bool { return t.waits || t.skips || t.err != nil }

// guarded runs work under guard. It returns the error of user code that ended the goroutine or did not return,
// or the error of the work.
func (f *folder[V]) guarded(work func() error) (broken, err error) {
	outer := f.calls
	broken = guard.Run(f.spec.cfg.FoldTimeout, func(calls *guard.Calls) {
		f.calls = calls
		failed := work()
		err = failed
	})
	f.calls = outer
	if broken != nil {
		return broken, nil // err belongs to the goroutine that was left
	}
	return nil, err
}

// fold folds units one after the other. It calls before, which may be nil, ahead of each of them, and after behind it.
func (f *folder[V]) fold(ctx context.Context, docs documents[V], units []unit[V], before, after func(*unit[V]) error) error {
	f.unit, f.next = 0, none
	work := func() error {
		for ; f.unit < len(units); f.unit++ {
			if err := f.foldUnit(ctx, docs, &units[f.unit], before, after); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		broken, err := f.guarded(work)
		if broken == nil {
			return err
		}
		if f.current == none {
			return f.spec.failed(broken)
		}
		t := &f.touched[f.current]
		t.err, f.current = f.spec.blame(t.recorded, t.key, broken), none
	}
}

// foldUnit goes on with one unit.
func (f *folder[V]) foldUnit(ctx context.Context, docs documents[V], u *unit[V], before, after func(*unit[V]) error) error {
	if f.next == none {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if before != nil {
			if err := before(u); err != nil {
				return err
			}
		}
		f.next = 0
	}
	for f.next < len(u.steps) {
		s := &u.steps[f.next]
		if len(f.touched) > 0 && f.touched[0].recorded != s.recorded {
			if err := f.settle(ctx, docs); err != nil {
				return err
			}
		}
		f.next++ // so that a step that breaks off is not taken again
		if err := f.step(ctx, docs, s); err != nil {
			return err
		}
	}
	if err := f.settle(ctx, docs); err != nil {
		return err
	}
	f.next = none
	if after == nil {
		return nil
	}
	return after(u)
}

// step applies one rule to one document.
func (f *folder[V]) step(ctx context.Context, docs documents[V], s *step[V]) error {
	if s.from != "" {
		return f.move(ctx, docs, s)
	}
	i, err := f.touch(ctx, docs, s.key, s.recorded)
	if err != nil {
		return err
	}
	if !f.touched[i].out() {
		f.apply(i, s)
	}
	return nil
}

// apply applies a rule to a touched document.
func (f *folder[V]) apply(i int, s *step[V]) {
	t := &f.touched[i]
	if t.err = s.fault; t.err != nil {
		return
	}
	before, value := t.document, *new(V) // a call that is left behind must not look at t
	var did effect
	f.current = i
	failed := f.calls.Call(func() { value, did = s.rule.apply(before.value, !before.deleted, s.event, s.recorded) })
	f.current = none
	switch {
	case failed != nil:
		t.err = f.spec.blame(s.recorded, s.key, failed)
	case did == changed:
		t.become(value, false)
	case did == removed:
		t.become(value, true)
	}
}

// become sets the next value of a touched document.
func (t *touched[V]) become(value V, deleted bool) {
	t.document = document[V]{value: value, at: t.recorded.Position, index: int32(t.recorded.Index), deleted: deleted}
	t.changed = true
}

// move applies a rule that moves a document. A document that cannot be had parks the key that it would move to. One
// that moves to a parked key is gone until that is replayed.
func (f *folder[V]) move(ctx context.Context, docs documents[V], s *step[V]) error {
	i, err := f.touch(ctx, docs, s.from, s.recorded)
	if err != nil {
		return err
	}
	j, err := f.touch(ctx, docs, s.key, s.recorded)
	if err != nil {
		return err
	}
	from, to := &f.touched[i], &f.touched[j]
	if !to.out() {
		to.err = s.fault
	}
	switch {
	case from.skips:
	case from.out():
		if !to.out() {
			to.err, to.source = f.spec.blame(s.recorded, s.key, notMoved(s.from)), s.from
		}
	case from.deleted:
	default:
		if !to.out() {
			to.become(from.value, false)
		}
		from.become(*new(V), true)
	}
	return nil
}

// touch finds the document under a key, for one event. It returns its index in touched.
func (f *folder[V]) touch(ctx context.Context, docs documents[V], key string, recorded eventstore.Recorded) (int, error) {
	for i := range f.touched {
		if f.touched[i].key == key {
			return i, nil
		}
	}
	t := touched[V]{key: key, recorded: recorded}
	if _, t.waits = f.parked[key]; !t.waits {
		t.skips = f.skipped[key].skips(recorded)
	}
	if !t.out() {
		var err error
		t.document, err = docs.get(ctx, key)
		if errors.Is(err, kv.ErrDecode) {
			t.err = f.spec.blame(recorded, key, err)
		} else if err != nil {
			return none, err
		}
	}
	f.touched = append(f.touched, t)
	i := len(f.touched) - 1
	if f.careful && f.spec.shared && !t.deleted && !t.out() { // the fold may change it in place before it fails
		f.encode(i)
		f.touched[i].saved = f.touched[i].encoded
	}
	return i, nil
}

// encode encodes a touched document, unless it is encoded already. If that fails, the key must be parked.
func (f *folder[V]) encode(i int) {
	t := &f.touched[i]
	if t.encoded != nil {
		return
	}
	var encoded []byte
	var err error
	key, value := t.key, t.value
	f.current = i
	if failed := f.calls.Call(func() { encoded, err = within(f.sink).Encode(key, value) }); failed != nil {
		err = failed
	}
	f.current = none
	if err != nil {
		t.err = f.spec.blame(t.recorded, t.key, err)
		return
	}
	t.encoded = encoded
}

// settle parks the keys that the event could not be folded into, and sets the documents that it changed.
func (f *folder[V]) settle(ctx context.Context, docs documents[V]) error {
	for ; f.settled < len(f.touched); f.settled++ {
		if t := &f.touched[f.settled]; f.careful && t.changed && !t.deleted && !t.out() {
			f.encode(f.settled)
		}
		if err := f.settleOne(ctx, docs, &f.touched[f.settled]); err != nil {
			return err
		}
	}
	clear(f.touched)
	f.touched, f.settled = f.touched[:0], 0
	return nil
}

func (f *folder[V]) settleOne(ctx context.Context, docs documents[V], t *touched[V]) error {
	switch {
	case t.waits:
		p := f.parked[t.key]
		p.Waiting++
		f.parked[t.key], f.newly[t.key] = p, p
		return nil
	case t.err == nil && t.changed:
		return docs.set(ctx, t.key, t.document)
	case t.err == nil:
		return nil
	case !f.spec.cfg.Park:
		return t.err
	case !f.careful:
		return errUnsure
	}
	f.park(ctx, t)
	if t.saved == nil {
		return nil
	}
	return docs.set(ctx, t.key, f.restored(t.saved))
}

// restored returns a document as it was encoded. The methods with which it decodes itself are the user's.
func (f *folder[V]) restored(saved []byte) document[V] {
	var value V
	var err error
	failed := guard.CallWithin(f.spec.cfg.FoldTimeout, func() { err = f.spec.unmarshal(saved, &value) })
	if failed != nil || err != nil {
		return document[V]{encoded: saved, opaque: true}
	}
	return document[V]{value: value, encoded: saved}
}

func (f *folder[V]) park(ctx context.Context, t *touched[V]) {
	r := t.recorded
	p := Parked{
		Stream: r.Stream, Version: r.Version(), Position: r.Position, Index: r.Index,
		Type: r.Type(), Error: runner.Shortened(t.err.Error(), runner.MaxText), Since: time.Now().UTC(), Source: t.source, Skipped: f.skipped[t.key].Skipped,
	}
	if fold, ok := errors.AsType[*FoldError](t.err); ok {
		p.Error = runner.Shortened(fold.reason(), runner.MaxText)
		if fold.Key != t.key {
			p.Key = shownKey(fold.Key)
		}
	}
	f.parked[t.key], f.newly[t.key] = p, p
	f.spec.logger.ErrorContext(ctx, "projection: key parked", "key", t.key, "position", uint64(p.Position), "error", t.err)
}

// asRead makes of a document in memory what is read of it.
func (s *spec[V]) asRead(d document[V]) document[V] {
	if s.shape != nil {
		s.shape.Settle(reflect.ValueOf(&d.value).Elem())
	}
	d.encoded = nil // it is seldom asked for before the document changes
	return d
}
