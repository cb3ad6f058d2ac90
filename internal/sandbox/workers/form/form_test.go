package form_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"firedrill/internal/sandbox/workers/form"
)

var limits = form.Limits{Parts: 100, Bytes: 1 << 20}

func TestNamesKeepTheirFolders(t *testing.T) {
	t.Parallel()
	body := "--b\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{}\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"files.0\"; filename=\"src/lib/util.js\"\r\nContent-Type: Application/JavaScript+Module; charset=utf-8\r\n\r\nx\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"a%22b%0A.js\"\r\n\r\n\r\n--b--\r\n"
	got, err := form.Read(strings.NewReader(body), `multipart/form-data; boundary=b`, limits)
	want := []form.Part{
		{Name: "metadata", Data: []byte("{}")},
		{Name: "files.0", Filename: "src/lib/util.js", ContentType: "application/javascript+module", Data: []byte("x")},
		{Name: "a\"b\n.js", Data: []byte{}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFormsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	part := "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n12345\r\n"
	for name, c := range map[string]struct{ contentType, body, want string }{
		"type":        {"application/json", "{}", "not multipart/form-data"},
		"boundary":    {"multipart/form-data", "", "no boundary"},
		"cut":         {"multipart/form-data; boundary=b", part[:len(part)-4], "EOF"},
		"disposition": {"multipart/form-data; boundary=b", "--b\r\n\r\nx\r\n--b--\r\n", "content disposition"},
		"attachment":  {"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: attachment; filename=a\r\n\r\nx\r\n--b--\r\n", "not form-data"},
		"nameless":    {"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "neither name nor filename"},
	} {
		_, err := form.Read(strings.NewReader(c.body), c.contentType, limits)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for name, l := range map[string]form.Limits{"parts": {Parts: 1, Bytes: 100}, "bytes": {Parts: 9, Bytes: 9}} {
		_, err := form.Read(strings.NewReader(part+part+"--b--\r\n"), "multipart/form-data; boundary=b", l)
		if !errors.Is(err, form.ErrTooLarge) {
			t.Errorf("limit of %s: %v", name, err)
		}
	}
}

// Whatever is read can be written, and is then read as the same.
func FuzzRead(f *testing.F) {
	f.Add("--b\r\nContent-Disposition: form-data; name=\"a/b.js\"; filename=\"c\\\"d\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n")
	f.Add("--b\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n--b--")
	f.Add("--b\r\nContent-Disposition: form-data; filename*=UTF-8''%c3%bc.js\r\n\r\n--b\n\r\n--b--")
	f.Add("--b\r\nContent-Disposition: form-data; name=\"a\\\\\\\\b\"\r\n\r\n--b--")
	f.Add("--b--\r\n")
	f.Fuzz(func(t *testing.T, body string) {
		parts, err := form.Read(strings.NewReader(body), "multipart/form-data; boundary=b", limits)
		if err != nil {
			return
		}
		var out bytes.Buffer
		contentType, err := form.Write(&out, parts)
		if err != nil {
			t.Fatal(err)
		}
		again, err := form.Read(&out, contentType, limits)
		if err != nil {
			t.Fatalf("%v in %q", err, parts)
		}
		if len(parts) != len(again) || len(parts) > 0 && !reflect.DeepEqual(parts, again) {
			t.Fatalf("%q became %q", parts, again)
		}
	})
}
