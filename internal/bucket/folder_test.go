package bucket

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"firedrill"
	"firedrill/internal/testkit/s3test"
)

func TestFoldersOfABucketAreApart(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	s.Bucket("folders")
	b := open(t, s, "s3://folders/a")
	b.pageSize = 1
	for _, parts := range [][]string{{"runs", "one", "records"}, {"runs", "two"}, {"leases"}} {
		sub, err := b.In(parts...)
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.Write(t.Context(), "file", []byte(parts[0])); err != nil {
			t.Fatal(err)
		}
		if err := sub.Write(t.Context(), "file", []byte(parts[len(parts)-1])); err != nil {
			t.Fatal(err)
		}
		if data, err := sub.Read(t.Context(), "file"); err != nil || string(data) != parts[len(parts)-1] {
			t.Errorf("%v: %q %v", parts, data, err)
		}
	}
	runs, err := b.In("runs")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := runs.Folders(t.Context()); err != nil || !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("folders %q, %v", got, err)
	}
	if names, err := runs.Names(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("a folder counts as a file: %q, %v", names, err)
	}
	if _, err := runs.Read(t.Context(), "file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file of another folder: %v", err)
	}
	for _, strange := range []string{"", "..", "a/b"} {
		if _, err := b.In(strange); firedrill.KindOf(err) != firedrill.KindUsage {
			t.Errorf("folder %q: %v", strange, err)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := runs.Folders(over); firedrill.KindOf(err) != firedrill.KindInterrupted {
		t.Errorf("a list that was given up: %v", err)
	}
}
