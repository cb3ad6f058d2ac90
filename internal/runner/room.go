package runner

import "sync"

// diskFull is what a person reads when the space that was kept is used.
const diskFull = "the disk of the state folder is full, so what was changed is put back in the space that is kept for this, and no more samples of probes are kept; make room on it"

// room is the space on the disk of the state folder that is kept for the way back.
// It is given back once, when the first write that the way back rests on finds no
// other.
type room struct {
	free func() (had bool, err error)

	mu     sync.Mutex
	spent  bool
	turned bool
}

// spend gives the space back, if there is any.
func (r *room) spend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if had, err := r.free(); had && err == nil {
		r.spent = true
	}
}

// full tells whether the disk ran full.
func (r *room) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spent
}

// turns tells, once, that the run has to turn back because of it.
func (r *room) turns() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.spent && !r.turned
	r.turned = r.turned || now
	return now
}
