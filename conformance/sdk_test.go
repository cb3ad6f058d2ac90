package conformance

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/cloudflare/cloudflare-go/v7/packages/pagination"

	"firedrill/internal/testkit/sandboxtest"
)

// fill sets fields of the parameters of a call, by name. Each is a
// param.Field, whose type cannot be named outside the SDK.
func fill[P any](t testing.TB, account string, fields map[string]any) P {
	t.Helper()
	var p P
	v := reflect.ValueOf(&p).Elem()
	if f := v.FieldByName("AccountID"); f.IsValid() {
		setField(t, f, account)
	}
	for name, value := range fields {
		f := v.FieldByName(name)
		if !f.IsValid() {
			t.Fatalf("%T has no field %s", p, name)
		}
		if f.Kind() == reflect.Interface || f.Kind() == reflect.Slice {
			f.Set(reflect.ValueOf(value))
			continue
		}
		setField(t, f, value)
	}
	return p
}

func setField(t testing.TB, f reflect.Value, value any) {
	t.Helper()
	to := f.FieldByName("Value")
	from := reflect.ValueOf(value)
	if !from.Type().AssignableTo(to.Type()) {
		if !from.Type().ConvertibleTo(to.Type()) {
			t.Fatalf("a %s cannot hold %T", to.Type(), value)
		}
		from = from.Convert(to.Type())
	}
	to.Set(from)
	f.FieldByName("Present").SetBool(true)
}

// options lead the SDK to a sandbox. It repeats nothing, so that each answer is
// judged once, and its connections end with the test.
func options(t testing.TB, c *sandboxtest.Cloud) []option.RequestOption {
	t.Helper()
	return optionsFor(t, c, option.WithAPIToken(c.Token()))
}

// optionsFor is options with other credentials.
func optionsFor(t testing.TB, c *sandboxtest.Cloud, credentials ...option.RequestOption) []option.RequestOption {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return append([]option.RequestOption{option.WithBaseURL(c.API), option.WithMaxRetries(0), option.WithHTTPClient(&http.Client{Transport: tr}), checkEnvelopes(t)}, credentials...)
}

// status finds status and code in an error of the SDK, whose type is internal.
func status(t testing.TB, err error) (status, code int) {
	t.Helper()
	if err == nil {
		t.Fatal("the call succeeds")
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		v := reflect.Indirect(reflect.ValueOf(e))
		if v.Kind() != reflect.Struct || !v.FieldByName("StatusCode").IsValid() {
			continue
		}
		if list := v.FieldByName("Errors"); list.IsValid() && list.Len() > 0 {
			code = int(list.Index(0).FieldByName("Code").Int())
		}
		return int(v.FieldByName("StatusCode").Int()), code
	}
	t.Fatalf("not an answer of the API: %v", err)
	return 0, 0
}

func refused(t testing.TB, err error, wantStatus, wantCode int) {
	t.Helper()
	if s, c := status(t, err); s != wantStatus || c != wantCode {
		t.Errorf("status %d, code %d, want %d and %d: %v", s, c, wantStatus, wantCode, err)
	}
}

// must takes the answer of a call that has to succeed, and audits it.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		audit(t, v)
		return v
	}
}

// body reads an answer that is no envelope.
func body(t testing.TB, r *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// pager is any of the SDK's walks through pages.
type pager[T any] interface {
	Next() bool
	Current() T
	Err() error
}

// all walks to the end, which must come.
func all[T any](t testing.TB, p pager[T], name func(T) string) []string {
	t.Helper()
	var names []string
	for p.Next() {
		audit(t, p.Current())
		if names = append(names, name(p.Current())); len(names) > 10_000 {
			t.Fatal("the pages never end")
		}
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

var _ pager[int] = (*pagination.V4PagePaginationArrayAutoPager[int])(nil)

func expect(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// differs states a known difference between the sandbox and the SDK, and fails
// when it is gone, so that the statement does not outlive it.
func differs(t testing.TB, what string, sandbox, sdk, now any) {
	t.Helper()
	switch fmt.Sprint(now) {
	case fmt.Sprint(sandbox):
	case fmt.Sprint(sdk):
		t.Errorf("%s: the sandbox agrees with the SDK now; expect %v here", what, sdk)
	default:
		t.Errorf("%s: %v, which is neither the known difference %v nor what the SDK takes, %v", what, now, sandbox, sdk)
	}
}
