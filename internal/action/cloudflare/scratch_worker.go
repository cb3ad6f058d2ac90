package cloudflare

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"firedrill"
	"firedrill/internal/action/cloudflare/versionshim"
)

// CreateWorkerScratch uploads and deploys a Worker of one module, to be thrown away.
// Its name begins with [ScratchPrefix]; it is bound to a database as DB and to a
// namespace as KV. It is reached below workers.dev, where the account has a name
// there: host is "" if it has none.
func (c *Client) CreateWorkerScratch(ctx context.Context, op, name, source string, db *D1, kv *KV, tell func(string)) (host string, err error) {
	if err := checkScratchWorker(op, name); err != nil {
		return "", err
	}
	s := script{c, name, op, tell}
	if _, err := s.deployments(ctx); firedrill.KindOf(err) != firedrill.KindNotFound {
		return "", orTaken(err, op, "Worker "+name)
	}
	body, contentType, err := uploadForm(map[string]any{"main_module": "index.js", "compatibility_date": "2026-04-01", "bindings": []map[string]any{
		{"type": "d1", "name": "DB", "id": db.ID}, {"type": "kv_namespace", "name": "KV", "namespace_id": kv.ID}}},
		[]versionshim.Module{{Name: "index.js", ContentType: "application/javascript+module", Data: []byte(source)}})
	if err != nil {
		return "", err
	}
	req := s.request(http.MethodPut)
	req.Body, req.ContentType, req.Ids = body, contentType, append(req.Ids, ID{"d1", db.ID}, ID{"kv", kv.ID})
	if _, err := c.Do(ctx, req); err != nil {
		return "", err
	}
	var account struct {
		Subdomain string `json:"subdomain"`
	}
	ask := Request{Op: op, Target: "workers.dev", Method: http.MethodGet, Path: c.AccountPath("workers", "subdomain"), Notify: tell}
	resp, err := c.Do(ctx, ask)
	if firedrill.KindOf(err) == firedrill.KindNotFound {
		return "", nil
	}
	if err == nil {
		err = resp.Decode(ask, &account)
	}
	if err != nil || account.Subdomain == "" {
		return "", err
	}
	on := s.request(http.MethodPost, "subdomain")
	if on.Body, err = json.Marshal(map[string]bool{"enabled": true}); err != nil {
		return "", err
	}
	on.Safe = true
	_, err = c.Do(ctx, on)
	return name + "." + account.Subdomain + ".workers.dev", err
}

// DeleteWorkerScratch deletes a Worker that was made to be thrown away, and looks
// that it is gone. One that is not there counts as deleted.
func (c *Client) DeleteWorkerScratch(ctx context.Context, op, name string, tell func(string)) error {
	if err := checkScratchWorker(op, name); err != nil {
		return err
	}
	s := script{c, name, op, tell}
	req := s.request(http.MethodDelete)
	req.Safe = true
	if _, err := c.Do(ctx, req); err != nil && firedrill.KindOf(err) != firedrill.KindNotFound {
		return err
	}
	_, err := s.deployments(ctx)
	switch {
	case err == nil:
		return stillListed(op, "Worker "+name)
	case firedrill.KindOf(err) == firedrill.KindNotFound:
		return nil
	}
	return err
}

func checkScratchWorker(op, name string) error {
	if strings.HasPrefix(name, scratchPrefix) && len(name) > len(scratchPrefix) {
		return nil
	}
	return &firedrill.Error{Op: op, Kind: firedrill.KindGuard, Target: "Worker " + name,
		Detail: "is not a scratch Worker", Remedy: "only Workers whose names begin with " + scratchPrefix + " are made and deleted"}
}
