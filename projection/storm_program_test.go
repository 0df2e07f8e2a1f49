//go:build unix

package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// program is what a process would be: a connection, a store and a view, which begin anew after a kill.
type program struct {
	name    string
	release int
	runs    bool

	storm *storm
	link  *link
	gate  *gate
	stop  func() // ends the program, and waits for it

	mu      sync.Mutex
	view    *projection.View[stormDoc] // nil while the program is not up
	end     context.CancelFunc         // ends the present life
	over    <-chan struct{}            // closed with the present life
	down    int                        // how many kills keep it down
	ills    int                        // how many deeds it suffers from
	spared  bool                       // nothing is done to it
	changed chan struct{}              // closed when one of the above changes
}

// employ makes a program part of the storm.
func (s *storm) employ(p *program) {
	p.storm, p.link, p.gate, p.changed = s, newLink(s, uint64(len(s.programs))), &gate{}, make(chan struct{})
	s.programs = append(s.programs, p)
}

// live lives until ctx ends, however often it is killed.
func (p *program) live(ctx context.Context) {
	for {
		life, end := context.WithCancel(ctx)
		if !p.awaitUp(life, end) {
			end()
			return
		}
		if err := p.once(life); err != nil && life.Err() == nil {
			p.storm.count("begins of programs that failed: " + named(err))
			idle(life, 50*time.Millisecond)
		}
		end()
	}
}

// awaitUp blocks while the program is killed. The context belongs to the next life, which the program can end
// from then on.
func (p *program) awaitUp(ctx context.Context, end context.CancelFunc) bool {
	for ctx.Err() == nil {
		p.mu.Lock()
		down, changed := p.down, p.changed
		if down == 0 {
			p.end, p.over = end, ctx.Done()
		}
		p.mu.Unlock()
		if down == 0 {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return false
}

// once is one life. It returns an error if the program could not begin.
func (p *program) once(ctx context.Context) (err error) {
	nc, err := p.link.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	beginning, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	store, err := eventstore.Open(beginning, js, "bank", events, &eventstore.Config{Replicas: p.storm.sky.replicas()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	view, err := stormOpen(beginning, store, p.release, p.storm.config(p.name), func(e deposited, r eventstore.Recorded) {
		p.gate.pass(ctx)
		if e.Amount == poisonous && len(stormKeys(e)) == 1 && p.storm.illness.kills(r.Position) {
			panic("not mended yet")
		}
	})
	if err != nil {
		return err
	}
	p.show(view)
	defer func() {
		p.show(nil)
		err = errors.Join(err, view.Close())
	}()
	p.serve(ctx, view)
	return nil
}

// serve runs the view, or waits, until ctx ends.
func (p *program) serve(ctx context.Context, view *projection.View[stormDoc]) {
	p.storm.count("begins of programs")
	if !p.runs {
		<-ctx.Done()
		return
	}
	if err := view.Run(ctx); err != nil || ctx.Err() == nil {
		p.storm.wrong("Run ended", "%s, release %d: %v", p.name, p.release, err)
	}
}

func stormOpen(
	ctx context.Context, store *eventstore.Store, release int, cfg *projection.Config, before func(deposited, eventstore.Recorded),
) (*projection.View[stormDoc], error) {
	return projection.Open(ctx, store, stormView, release, cfg, stormRules(release, before)...)
}

// config returns the settings of a program's view.
func (s *storm) config(name string) *projection.Config {
	cfg := stormConfig(s.standBy, s.sky.replicas())
	if s.log != nil {
		cfg.Logger = slog.New(slog.NewTextHandler(s.log, nil)).With("program", name)
	}
	return cfg
}

func stormConfig(standBy time.Duration, replicas int) *projection.Config {
	return &projection.Config{Heartbeat: standBy * 3 / 8, StandBy: standBy, Replicas: replicas, Park: true, BuildCacheSize: 10}
}

func (p *program) show(view *projection.View[stormDoc]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.view = view
	p.changeLocked()
}

func (p *program) changeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// current returns the program's view, nil while it is not up.
func (p *program) current() *projection.View[stormDoc] {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view
}

// present is current with a channel that is closed when the program's present life ends.
func (p *program) present() (view *projection.View[stormDoc], over <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view, p.over
}

// up waits until the program has a view.
func (p *program) up(ctx context.Context) (*projection.View[stormDoc], error) {
	for {
		p.mu.Lock()
		view, changed := p.view, p.changed
		p.mu.Unlock()
		if view != nil {
			return view, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("the program is not up: %w", context.Cause(ctx))
		}
	}
}

// reach waits until the program reads a position.
func (p *program) reach(ctx context.Context, position eventstore.Position) error {
	view, err := p.up(ctx)
	if err != nil {
		return err
	}
	return view.WaitFor(ctx, position)
}

// suffer does something to the program, and returns what ends it. It returns nil if that cannot be done now.
func (p *program) suffer(kind string) (end func()) {
	if !p.fallIll() {
		return nil
	}
	var heal func()
	switch kind {
	case "link cut":
		heal = p.link.cut()
	case "answers and requests lost":
		heal = p.link.lose()
	case "program killed":
		heal = p.kill()
	case "program frozen":
		heal = p.freeze()
	}
	if heal == nil {
		p.getWell()
		return nil
	}
	return func() {
		heal()
		p.getWell()
	}
}

func (p *program) fallIll() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spared {
		return false
	}
	p.ills++
	return true
}

func (p *program) getWell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ills--
}

// spare keeps the program from all that is done to programs, if nothing is done to it now, until the end.
func (p *program) spare() (end func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spared || p.ills > 0 || p.view == nil {
		return nil, false
	}
	p.spared = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.spared = false
	}, true
}

// kill ends the present life at once, and keeps the program down until it is revived.
func (p *program) kill() (revive func()) {
	heal := p.link.cut()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down++
	p.view = nil
	if p.end != nil {
		p.end()
	}
	return func() {
		heal()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.down--
		p.changeLocked()
	}
}

// freeze makes the program stand still, with its folds and all that it sends or is sent.
func (p *program) freeze() (thaw func()) {
	flow := p.link.hold()
	if flow == nil {
		return nil
	}
	goOn := p.gate.close()
	return func() {
		goOn()
		flow()
	}
}

// gate is what the folds of a program pass.
type gate struct {
	mu     sync.Mutex
	closed chan struct{} // closed once folds pass again; nil while they pass
	slow   time.Duration // how long the next fold takes
}

// pass lets a fold pass, or ends with the program's life.
func (g *gate) pass(life context.Context) {
	g.mu.Lock()
	closed, slow := g.closed, g.slow
	g.slow = 0
	g.mu.Unlock()
	if slow > 0 {
		idle(life, slow)
	}
	if closed != nil {
		select {
		case <-closed:
		case <-life.Done():
		}
	}
}

func (g *gate) close() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	closed := make(chan struct{})
	g.closed = closed
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.closed = nil
		close(closed)
	}
}

// slowDown makes the next fold take its time.
func (g *gate) slowDown(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slow = d
}
