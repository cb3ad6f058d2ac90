package r2

import (
	"net/http"
	"slices"
	"time"
)

// Condition says when a get or put is to happen; a zero field asks nothing. The
// precedence is that of RFC 9110, section 13.2.2.
type Condition struct {
	Matches       []ETag // nil: not asked
	DoesNotMatch  []ETag // likewise
	Before, After time.Time
	// Seconds compares times in whole seconds, as HTTP headers do.
	Seconds bool
}

// ETag is one value of a condition.
type ETag struct {
	Value string
	Any   bool // the wildcard
	Weak  bool
}

// holds judges a condition on what is there; nil is nothing.
func (c Condition) holds(o *Object) bool {
	if o == nil {
		return c.Matches == nil && c.After.IsZero()
	}
	uploaded := o.Uploaded
	if c.Seconds {
		uploaded = uploaded.Truncate(time.Second)
	}
	match := c.Matches == nil || slices.ContainsFunc(c.Matches, func(e ETag) bool { return e.Any || !e.Weak && e.Value == o.ETag })
	other := c.DoesNotMatch == nil || !slices.ContainsFunc(c.DoesNotMatch, func(e ETag) bool { return e.Any || e.Value == o.ETag })
	before := c.Before.IsZero() || uploaded.Before(c.Before) || c.Matches != nil && match
	after := c.After.IsZero() || uploaded.After(c.After) || c.DoesNotMatch != nil && other
	return match && other && before && after
}

func preconditionFailed(o *Object) *Error {
	e := refuse(http.StatusPreconditionFailed, CodePrecondition, "At least one of the pre-conditions you specified did not hold.")
	e.Object = o
	return e
}

// Range is a part of an object that is asked for; nil fields are not given.
type Range struct{ Offset, Length, Suffix *int64 }

// resolve gives the first byte and the number of bytes.
func (r Range) resolve(size int64) (offset, length int64, err error) {
	invalid := refuse(http.StatusRequestedRangeNotSatisfiable, CodeRange, "The requested range is not satisfiable")
	if r.Suffix != nil {
		if *r.Suffix <= 0 || r.Offset != nil || r.Length != nil {
			return 0, 0, invalid
		}
		length = min(*r.Suffix, size)
		return size - length, length, nil
	}
	if r.Offset != nil {
		offset = *r.Offset
	}
	if offset < 0 || offset > size || offset == size && size > 0 {
		return 0, 0, invalid
	}
	length = size - offset
	if r.Length != nil {
		if *r.Length <= 0 {
			return 0, 0, invalid
		}
		length = min(length, *r.Length)
	}
	return offset, length, nil
}
