package d1

import (
	"context"
	"fmt"
	"io"
)

// MaxImport is the size of an import, in bytes. The platform takes 5 GB; here
// the text is held in memory while it runs.
const MaxImport = 1 << 30

// ImportResult is what an import did.
type ImportResult struct {
	Queries  int
	Bookmark string
	Meta     Meta
}

// Import performs SQL text as one transaction: all of it, or nothing.
func (s *Store) Import(ctx context.Context, id string, r io.Reader) (ImportResult, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxImport+1))
	if err != nil {
		return ImportResult{}, fmt.Errorf("import: %w", err)
	}
	if len(text) > MaxImport {
		return ImportResult{}, badRequest("the import is larger than %d bytes", MaxImport)
	}
	results, mark, err := s.Query(ctx, id, []Statement{{SQL: string(text)}})
	if err != nil {
		return ImportResult{}, err
	}
	sum := ImportResult{Queries: len(results), Bookmark: mark}
	for _, res := range results {
		sum.Meta.Duration += res.Meta.Duration
		sum.Meta.Changes += res.Meta.Changes
		sum.Meta.RowsRead += res.Meta.RowsRead
		sum.Meta.RowsWritten += res.Meta.RowsWritten
		sum.Meta.ChangedDB = sum.Meta.ChangedDB || res.Meta.ChangedDB
		sum.Meta.SizeAfter = res.Meta.SizeAfter
		sum.Meta.LastRowID = res.Meta.LastRowID
	}
	return sum, nil
}
