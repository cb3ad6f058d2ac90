package shared

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"firedrill"
	"firedrill/internal/bucket"
	"firedrill/internal/journal"
)

// batchFormat is the version of a batch of records.
const batchFormat = 1

// header is the first line of a batch: who wrote it.
type header struct {
	Format  int    `json:"format"`
	Machine string `json:"machine"`
	Fence   int64  `json:"fence"`
}

const batchSuffix = ".jsonl"

func batchName(first int64) string { return fmt.Sprintf("%020d%s", first, batchSuffix) }

// Append makes a batch of records of one run durable in the bucket, all of them
// or none, and what is in the run's folder before. A batch that somebody else
// wrote in its place gives an error of [firedrill.KindConflict].
func (s *Store) Append(ctx context.Context, run string, records []firedrill.Record) error {
	if len(records) == 0 {
		return nil
	}
	head := header{Format: batchFormat, Machine: s.machine}
	s.mu.Lock()
	l := s.held[run]
	s.mu.Unlock()
	if l != nil {
		// Who lost the run must not write over the files of who has it now.
		if err := l.Check(ctx); err != nil {
			return err
		}
		head.Fence = l.fence
	}
	if err := s.follows(ctx, run, records[0].Seq); err != nil {
		return err
	}
	if err := s.open(ctx, run, records[0]); err != nil {
		return err
	}
	_, ends := records[len(records)-1].Body.(firedrill.Finished)
	if err := s.push(ctx, run, !ends); err != nil {
		return err
	}
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	if err := enc.Encode(head); err != nil {
		return err
	}
	for _, r := range records {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	b, err := s.in("runs", run, "records")
	if err != nil {
		return err
	}
	if err := s.create(ctx, b, batchName(records[0].Seq), data.Bytes()); err != nil {
		return err
	}
	if err := s.mirror(ctx, run, records); err != nil {
		return err
	}
	if ends {
		return s.finish(ctx, run)
	}
	return nil
}

// follows refuses a gap, before the bucket takes it. A batch that is there
// already is looked at when it is written.
func (s *Store) follows(ctx context.Context, run string, first int64) error {
	last, _, err := s.last(ctx, run)
	if err == nil && last < first-1 {
		if err = s.pull(ctx, run); err == nil {
			last, _, err = s.last(ctx, run)
		}
	}
	if err == nil && last < first-1 {
		err = &firedrill.Error{Op: "write to the state store", Kind: firedrill.KindStorage, Target: "run " + run,
			Detail: fmt.Sprintf("record %d would follow record %d", first, last), Remedy: "resume it: firedrill resume " + run}
	}
	return err
}

// open marks a run as one that may not have finished, before its first record.
func (s *Store) open(ctx context.Context, run string, first firedrill.Record) error {
	if _, starts := first.Body.(firedrill.RunStarted); !starts {
		return nil
	}
	b, err := s.in("open")
	if err != nil {
		return err
	}
	return s.patiently(ctx, func() error { return b.Write(ctx, run, nil) })
}

// finish takes away what nobody should keep of a run that is over, and then its
// mark. It may be repeated, by any machine.
func (s *Store) finish(ctx context.Context, run string) error {
	if err := s.dropPrivate(ctx, run); err != nil {
		return err
	}
	b, err := s.in("open")
	if err != nil {
		return err
	}
	return s.patiently(ctx, func() error { return b.Remove(ctx, run) })
}

// mirror appends what the bucket holds to the journal of this machine. Another
// process here may have done so.
func (s *Store) mirror(ctx context.Context, run string, records []firedrill.Record) error {
	err := s.journal.Append(ctx, run, records)
	if err == nil {
		return nil
	}
	if last, _, lerr := s.last(ctx, run); lerr == nil && last >= records[len(records)-1].Seq {
		return nil
	}
	return err
}

// last gives the number of the last record of a run in the mirror, 0 if there is
// none, and whether the run has finished.
func (s *Store) last(ctx context.Context, run string) (seq int64, finished bool, err error) {
	records, err := s.journal.Records(ctx, run)
	if firedrill.KindOf(err) == firedrill.KindUsage {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	end := records[len(records)-1]
	_, finished = end.Body.(firedrill.Finished)
	return end.Seq, finished, nil
}

// Records gives all records of a run in order.
func (s *Store) Records(ctx context.Context, run string) ([]firedrill.Record, error) {
	if err := s.pull(ctx, run); err != nil {
		return nil, err
	}
	return s.journal.Records(ctx, run)
}

// Runs gives the runs, the newest first.
func (s *Store) Runs(ctx context.Context, q journal.Query) ([]journal.Run, error) {
	here, err := s.journal.Runs(ctx, journal.Query{Unfinished: q.Unfinished})
	if err != nil {
		return nil, err
	}
	finished := map[string]bool{}
	for _, r := range here {
		finished[r.ID] = !r.Finished.IsZero()
	}
	there, err := s.list(ctx, q.Unfinished)
	if err != nil {
		return nil, err
	}
	if q.Unfinished {
		for run := range finished { // another machine may have finished it
			if !slices.Contains(there, run) {
				there = append(there, run)
			}
		}
	}
	for _, run := range there {
		if finished[run] {
			continue
		}
		if err := s.pull(ctx, run); err != nil {
			return nil, err
		}
		if !q.Unfinished {
			continue
		}
		// Whoever finished it may not have come so far as to say so.
		if _, ended, err := s.last(ctx, run); err != nil {
			return nil, err
		} else if ended {
			if err := s.finish(ctx, run); err != nil {
				return nil, err
			}
		}
	}
	return s.journal.Runs(ctx, q)
}

// Current brings the mirror up to date and gives its journal, for whoever has many
// questions about runs that are over.
func (s *Store) Current(ctx context.Context) (*journal.Journal, error) {
	if _, err := s.Runs(ctx, journal.Query{Limit: 1}); err != nil {
		return nil, err
	}
	return s.journal, nil
}

// list names the runs of the bucket: all, or those that may not have finished.
func (s *Store) list(ctx context.Context, unfinished bool) (runs []string, err error) {
	folder, names := "runs", (*bucket.Bucket).Folders
	if unfinished {
		folder, names = "open", (*bucket.Bucket).Names
	}
	b, err := s.in(folder)
	if err != nil {
		return nil, err
	}
	return names(b, ctx)
}

// pull brings what the bucket holds of a run into the mirror.
func (s *Store) pull(ctx context.Context, run string) error {
	last, finished, err := s.last(ctx, run)
	if err != nil || finished {
		return err
	}
	b, err := s.in("runs", run, "records")
	if err != nil {
		return &firedrill.Error{Op: "read the state store", Kind: firedrill.KindUsage, Target: "run " + run, Detail: "there is no such run", Remedy: "see: firedrill history"}
	}
	names, err := b.Names(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if first, err := strconv.ParseInt(strings.TrimSuffix(name, batchSuffix), 10, 64); err != nil || first <= last {
			continue // not ours, or here already
		}
		_, records, err := s.batch(ctx, b, name)
		if err != nil {
			return err
		}
		if err := s.mirror(ctx, run, records); err != nil {
			return err
		}
	}
	return nil
}

// batch reads a batch of records.
func (s *Store) batch(ctx context.Context, b *bucket.Bucket, name string) (header, []firedrill.Record, error) {
	var head header
	corrupt := func(detail string, err error) error {
		return &firedrill.Error{Op: "read the state store", Kind: firedrill.KindCorrupt, Target: b.String() + "/" + name, Detail: detail, Remedy: "if a newer firedrill wrote it, use that one", Err: err}
	}
	data, err := b.Read(ctx, name)
	if err != nil {
		return head, nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, len(data)+1)
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &head) != nil || head.Format != batchFormat {
		return head, nil, corrupt("its first line is not that of a batch of records", nil)
	}
	var records []firedrill.Record
	for lines.Scan() {
		var r firedrill.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return head, nil, corrupt(fmt.Sprintf("its record %d cannot be read", len(records)+1), err)
		}
		records = append(records, r)
	}
	if lines.Err() != nil || len(records) == 0 || batchName(records[0].Seq) != name {
		return head, nil, corrupt("it does not hold the records that its name says", lines.Err())
	}
	return head, records, nil
}

// writer tells which machine wrote the last batch of a run, "" if there is none.
func (s *Store) writer(ctx context.Context, run string) (string, error) {
	b, err := s.in("runs", run, "records")
	if err != nil {
		return "", err
	}
	names, err := b.Names(ctx)
	if err != nil || len(names) == 0 {
		return "", err
	}
	head, _, err := s.batch(ctx, b, names[len(names)-1])
	return head.Machine, err
}
