package api

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// tokenID names the token without telling it.
func (s *Server) tokenID() string {
	sum := sha256.Sum256([]byte("token:" + s.cfg.Token))
	return hex.EncodeToString(sum[:16])
}

func (s *Server) verifyToken(request) (answer, error) {
	return answer{result: map[string]any{"id": s.tokenID(), "status": "active"}}, nil
}

// permissions are what the platform calls the permissions for what the sandbox has,
// with its ids.
func permissions() []any {
	list := []any{}
	for _, p := range [][2]string{{"c1fde68c7bcc44588cbb6ddbc16d6480", "Account Settings Read"}, {"09b2857d1c31407795e75e3fed8617a1", "D1 Write"},
		{"f7f0eda5697f475c90846e879bab8666", "Workers KV Storage Write"}, {"bf7481a1826f439697cb59a20b22293e", "Workers R2 Storage Write"}, {"e086da7e2179491d91ee5f35b3ca210a", "Workers Scripts Write"}} {
		list = append(list, map[string]any{"id": p[0], "name": p[1]})
	}
	return list
}

// getToken shows the one token that there is to itself, never its value.
func (s *Server) getToken(q request) (answer, error) {
	if id := q.path[len(q.path)-1]; id != s.tokenID() {
		return answer{}, &Error{http.StatusNotFound, codeNoToken, "The sandbox has no such token; it has one"}
	}
	policy := map[string]any{"id": s.tokenID(), "effect": "allow", "permission_groups": permissions(), "resources": map[string]any{"com.cloudflare.api.account." + s.cfg.Account: "*"}}
	return answer{result: map[string]any{"id": s.tokenID(), "name": "firedrill sandbox", "status": "active", "policies": []any{policy}}}, nil
}

// codeNoToken is the sandbox's choice; the platform's is not known.
const codeNoToken = 1001

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
