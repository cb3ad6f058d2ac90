package firedrill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// UnmarshalJSON keeps integers exact: a number without fraction or exponent
// becomes int64; one that does not fit is an error, never rounded.
func (v *Values) UnmarshalJSON(data []byte) error {
	x, err := DecodeValue(data)
	if err != nil {
		return err
	}
	switch m := x.(type) {
	case nil:
		*v = nil
	case map[string]any:
		*v = m
	default:
		return fmt.Errorf("values must be an object, not %T", x)
	}
	return nil
}

// UnmarshalJSON reads an evaluation with exact integers.
func (e *Evaluation) UnmarshalJSON(data []byte) error {
	var w struct {
		Expr  string          `json:"expr"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	e.Expr = w.Expr
	if len(w.Value) == 0 {
		e.Value = nil
		return nil
	}
	x, err := DecodeValue(w.Value)
	e.Value = x
	return err
}

// DecodeValue reads one JSON document into the types of [Values].
func DecodeValue(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var x any
	if err := dec.Decode(&x); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON document")
	}
	return exact(x)
}

func exact(x any) (any, error) {
	switch x := x.(type) {
	case json.Number:
		return exactNumber(string(x))
	case []any:
		for i := range x {
			y, err := exact(x[i])
			if err != nil {
				return nil, err
			}
			x[i] = y
		}
	case map[string]any:
		for k := range x {
			y, err := exact(x[k])
			if err != nil {
				return nil, err
			}
			x[k] = y
		}
	}
	return x, nil
}

func exactNumber(s string) (any, error) {
	if bytes.ContainsAny([]byte(s), ".eE") {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, fmt.Errorf("number %s is out of range", s)
		}
		return f, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("integer %s does not fit 64 bits", s)
	}
	return n, nil
}

// Duration is a length of time as a plan writes it: "250ms", "1m30s".
type Duration string

// Parse gives the length; that of an empty one is 0.
func (d Duration) Parse() (time.Duration, error) {
	if d == "" {
		return 0, nil
	}
	return time.ParseDuration(string(d))
}

// ToValues turns a struct into values through its json tags.
func ToValues(x any) (Values, error) {
	data, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	var v Values
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	return v, nil
}

// Into fills a struct from values through its json tags; a key that the
// struct does not have is an error.
func (v Values) Into(x any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(x)
}
