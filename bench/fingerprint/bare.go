package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// read reads every row of the large table as a client does that has only the API's
// documentation: pages of plain columns by key, and drops the answers.
func read(ctx context.Context, t task) error {
	const page = 5000
	for from := 0; ; from += page {
		body, err := json.Marshal(map[string]string{"sql": fmt.Sprintf("SELECT * FROM events WHERE id>%d ORDER BY id LIMIT %d", from, page)})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("%s/accounts/%s/d1/database/%s/raw", t.API, t.Account, t.Inputs["database"]), bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+t.Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		data, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d: %.300s", resp.StatusCode, data)
		}
		if bytes.Contains(data, []byte(`"rows":[]`)) {
			return nil
		}
	}
}
