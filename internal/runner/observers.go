package runner

import (
	"context"
	"fmt"
	"sync"

	"firedrill"
)

// observers holds the observers of one run and forwards what they see.
type observers struct {
	ctx  context.Context
	emit func(firedrill.Edge)

	mu   sync.Mutex
	all  map[string]firedrill.Observer
	over bool
	wait sync.WaitGroup
}

func newObservers(ctx context.Context, emit func(firedrill.Edge)) *observers {
	return &observers{ctx: ctx, emit: emit, all: map[string]firedrill.Observer{}}
}

// Start runs an observer until it is stopped or the run ends.
func (o *observers) Start(name string, ob firedrill.Observer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return fmt.Errorf("the run is over")
	}
	if _, taken := o.all[name]; taken {
		return fmt.Errorf("observer %q runs already", name)
	}
	o.all[name] = ob
	o.wait.Go(func() { ob.Run(o.ctx, o.emit) })
	return nil
}

// Get gives a started observer; it may have been stopped since.
func (o *observers) Get(name string) (firedrill.Observer, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ob, ok := o.all[name]
	return ob, ok
}

// close stops all and waits for them.
func (o *observers) close() {
	o.mu.Lock()
	o.over = true
	all := o.all
	o.mu.Unlock()
	for _, ob := range all {
		ob.Stop()
	}
	o.wait.Wait()
}
