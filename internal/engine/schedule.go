package engine

import "firedrill"

// schedule knows which steps may start: those of the current phase whose needs
// are settled and whose claims are free. Every operation is constant per step
// and claim, so that long programs run in linear time.
type schedule struct {
	phase   int
	left    []int     // unsettled steps by phase
	ready   [][]*step // needs settled, by phase
	held    map[string]*hold
	blocked map[string][]*step // waiting for a resource, in order
	holding map[*step][]firedrill.Claim
}

// hold says who holds a resource.
type hold struct {
	readers int
	writer  bool
}

func newSchedule() *schedule {
	n := len(firedrill.Phases())
	return &schedule{left: make([]int, n), ready: make([][]*step, n), held: map[string]*hold{},
		blocked: map[string][]*step{}, holding: map[*step][]firedrill.Claim{}}
}

func (p *schedule) add(st *step) {
	i := st.def.Phase.Index()
	p.left[i]++
	if st.needs == 0 {
		p.ready[i] = append(p.ready[i], st)
	}
}

// settled counts a step out and frees its sub-steps, and whoever needs it once
// these are settled too.
func (p *schedule) settled(st *step) {
	p.left[st.def.Phase.Index()]--
	p.free(st.heirs)
	st.heirs = nil
	for up := st; up != nil; up = up.parent {
		if up.unsettled--; up.unsettled == 0 {
			p.free(up.dependents)
			up.dependents = nil
		}
	}
}

// free counts a need of each of these as settled.
func (p *schedule) free(steps []*step) {
	for _, d := range steps {
		if d.needs--; d.needs == 0 && d.status == waiting {
			i := d.def.Phase.Index()
			p.ready[i] = append(p.ready[i], d)
		}
	}
}

// forward moves on to the first phase that is not over.
func (p *schedule) forward() {
	for p.phase < len(p.left)-1 && p.left[p.phase] == 0 {
		p.phase++
	}
}

// next takes a step that may be tried, nil if there is none now.
func (p *schedule) next() *step {
	p.forward()
	for len(p.ready[p.phase]) > 0 {
		st := p.ready[p.phase][0]
		p.ready[p.phase] = p.ready[p.phase][1:]
		if st.status == waiting {
			return st
		}
	}
	return nil
}

// over tells whether every step is settled.
func (p *schedule) over() bool {
	for _, n := range p.left {
		if n > 0 {
			return false
		}
	}
	return true
}

// blockedBy gives a claimed resource that is not free, "" if all are.
func (p *schedule) blockedBy(claims []firedrill.Claim) string {
	for _, c := range claims {
		if h := p.held[c.Resource]; h != nil && (h.writer || c.Write && h.readers > 0) {
			return c.Resource
		}
	}
	return ""
}

// wait puts a step behind others that wait for a resource.
func (p *schedule) wait(resource string, st *step) {
	p.blocked[resource] = append(p.blocked[resource], st)
}

func (p *schedule) claim(st *step) {
	if _, again := p.holding[st]; again {
		return
	}
	p.holding[st] = st.resolved.Claims
	for _, c := range st.resolved.Claims {
		h := p.held[c.Resource]
		if h == nil {
			h = &hold{}
			p.held[c.Resource] = h
		}
		if c.Write {
			h.writer = true
		} else {
			h.readers++
		}
	}
}

// release frees what a step held and lets the first that wait for it try
// again; they go to the front, in order.
func (p *schedule) release(st *step) {
	claims := p.holding[st]
	delete(p.holding, st)
	for _, c := range claims {
		h := p.held[c.Resource]
		if c.Write {
			h.writer = false
		} else {
			h.readers--
		}
		if !h.writer && h.readers == 0 {
			delete(p.held, c.Resource)
		}
	}
	for _, c := range claims {
		p.wake(c.Resource)
	}
}

// wake lets those try again that could hold the resource now: all readers up
// to the first writer, or that writer alone.
func (p *schedule) wake(resource string) {
	queue := p.blocked[resource]
	n := 0
	for n < len(queue) {
		n++
		if writes(queue[n-1].resolved.Claims, resource) {
			break
		}
	}
	if n == 0 {
		return
	}
	for _, st := range queue[:n] {
		i := st.def.Phase.Index()
		p.ready[i] = append(p.ready[i], st)
	}
	if p.blocked[resource] = queue[n:]; len(queue) == n {
		delete(p.blocked, resource)
	}
}

func writes(claims []firedrill.Claim, resource string) bool {
	for _, c := range claims {
		if c.Resource == resource && c.Write {
			return true
		}
	}
	return false
}
