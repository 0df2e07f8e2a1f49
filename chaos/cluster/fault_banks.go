package main

import "context"

// bankFaults are the faults of the bank's processes.
func bankFaults() []*fault {
	both, three := []int{1, 3}, []int{3}
	return []*fault{
		{
			name: "kill a bank", does: "the process of one bank is killed, and started again", nodes: both, banks: []int{1, 2},
			stops: oneBank, begin: onFirstBank(killBank, startAgain),
		},
		{
			name: "kill all banks", does: "all processes of the bank are killed at once, and started again", nodes: both, banks: []int{2, 3},
			stops: always,
			begin: func(_ context.Context, w *world) (mend, error) {
				for _, b := range w.instances() {
					b.kill()
				}
				return func(ctx context.Context) error {
					for _, b := range w.instances() {
						if err := b.start(ctx); err != nil {
							return err
						}
					}
					return nil
				}, nil
			},
		},
		{
			name: "restart a bank", does: "one bank is told to end, and started again", nodes: both, banks: []int{1, 2},
			stops: oneBank, begin: onFirstBank(stopBank, startAgain),
		},
		{
			name: "freeze a bank", does: "the process of one bank stands still", nodes: both, banks: []int{1, 2, 3}, hold: electionHold,
			stops: oneBank, begin: onFirstBank(freezeBank, thawBank),
		},
		{
			name: "kill a bank and the leader", does: "a bank and the leader are killed at once, and started again", nodes: three, banks: []int{2, 3},
			hold: electionHold,
			begin: func(ctx context.Context, w *world) (mend, error) {
				nodes, err := onNode(leader, killNode, startNode)(ctx, w)
				if err != nil {
					return nil, err
				}
				banks, err := onFirstBank(killBank, startAgain)(ctx, w)
				return func(ctx context.Context) error {
					if err := nodes(ctx); err != nil {
						return err
					}
					return banks(ctx)
				}, err
			},
		},
	}
}

// onFirstBank begins a fault that does something to the first bank, and undoes it.
func onFirstBank(do, undo func(ctx context.Context, b *instance) error) func(context.Context, *world) (mend, error) {
	return func(ctx context.Context, w *world) (mend, error) {
		b := w.instances()[0]
		return func(ctx context.Context) error { return undo(ctx, b) }, do(ctx, b)
	}
}

func killBank(_ context.Context, b *instance) error {
	b.kill()
	return nil
}

func startAgain(ctx context.Context, b *instance) error { return b.start(ctx) }
func stopBank(ctx context.Context, b *instance) error   { return b.stop(ctx) }
func freezeBank(_ context.Context, b *instance) error   { return b.freeze() }
func thawBank(_ context.Context, b *instance) error     { return b.thaw() }
