package api

import (
	"crypto/sha256"
	"encoding/hex"
)

// tokenID names the token without telling it.
func (s *Server) tokenID() string {
	sum := sha256.Sum256([]byte("token:" + s.cfg.Token))
	return hex.EncodeToString(sum[:16])
}

func (s *Server) verifyToken(request) (answer, error) {
	return answer{result: map[string]any{"id": s.tokenID(), "status": "active"}}, nil
}

func (s *Server) user(request) (answer, error) {
	return answer{result: map[string]any{"id": s.tokenID(), "email": "sandbox@firedrill.invalid"}}, nil
}

func (s *Server) accountObject() map[string]any {
	return map[string]any{"id": s.cfg.Account, "name": "firedrill sandbox", "type": "standard"}
}

func (s *Server) accounts(q request) (answer, error) {
	return paged(q, []any{s.accountObject()}, 20)
}

func (s *Server) account(request) (answer, error) { return answer{result: s.accountObject()}, nil }

func (s *Server) memberships(q request) (answer, error) {
	return paged(q, []any{map[string]any{"id": s.tokenID(), "status": "accepted", "account": s.accountObject(), "roles": []string{"Administrator"}}}, 20)
}

// graphql answers the analytics that `wrangler d1 info` asks for. The sandbox
// keeps none; the figures are zeros, and docs/sandbox-fidelity.md says so.
func (s *Server) graphql(request) (answer, error) {
	return answer{raw: []byte(`{"data":{"viewer":{"accounts":[{"d1AnalyticsAdaptiveGroups":[{"sum":{"readQueries":0,"writeQueries":0,"rowsRead":0,"rowsWritten":0}}],"r2StorageAdaptiveGroups":[]}]}},"errors":null}`)}, nil
}

// status is a call of the sandbox's own: what runs in it.
func (s *Server) status(q request) (answer, error) {
	st, err := s.cfg.Status(q.r.Context())
	return answer{result: st}, err
}
