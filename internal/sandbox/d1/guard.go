package d1

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// gate keeps user SQL away from what the platform forbids and from what would
// break Time Travel: other files, page access, checkpoints. It is closed for
// users and opened for the store's own statements; the holder of the
// database's lock is the only one who touches it.
type gate struct{ open bool }

// guard installs the gate and the platform's limits on a connection.
func (g *gate) guard(conn *sql.Conn) error {
	err := conn.Raw(func(c any) error {
		r, ok := c.(sqlite.AuthorizerRegisterer)
		if !ok {
			return fmt.Errorf("the SQLite driver has no authorizer")
		}
		return r.RegisterAuthorizer(g.authorize)
	})
	if err != nil {
		return fmt.Errorf("guard the database: %w", err)
	}
	for id, value := range map[int]int{
		lib.SQLITE_LIMIT_LENGTH:              MaxValue,
		lib.SQLITE_LIMIT_SQL_LENGTH:          MaxStatement,
		lib.SQLITE_LIMIT_COLUMN:              MaxColumns,
		lib.SQLITE_LIMIT_VARIABLE_NUMBER:     MaxParams,
		lib.SQLITE_LIMIT_FUNCTION_ARG:        MaxArguments,
		lib.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: MaxPattern,
		lib.SQLITE_LIMIT_ATTACHED:            0,
	} {
		if _, err := sqlite.Limit(conn, id, value); err != nil {
			return fmt.Errorf("limit the database: %w", err)
		}
	}
	return nil
}

func (g *gate) authorize(action sqlite.AuthorizerActionCode, arg1, arg2, _, _ string) sqlite.AuthorizerReturnCode {
	if g.open {
		return sqlite.AuthorizerOK
	}
	allowed := true
	switch action {
	case sqlite.AuthAttach, sqlite.AuthDetach, sqlite.AuthTransaction, sqlite.AuthSavepoint:
		allowed = false
	case sqlite.AuthPragma:
		allowed = pragmaAllowed(arg1, arg2)
	case sqlite.AuthFunction:
		allowed = !slices.Contains([]string{"load_extension", "fts3_tokenizer"}, strings.ToLower(arg2))
	case sqlite.AuthCreateVTable:
		allowed = slices.Contains([]string{"fts5", "fts5vocab"}, strings.ToLower(arg2))
	case sqlite.AuthRead, sqlite.AuthInsert, sqlite.AuthUpdate, sqlite.AuthDelete, sqlite.AuthCreateTable, sqlite.AuthDropTable:
		allowed = !internalTable(arg1)
	}
	if allowed {
		return sqlite.AuthorizerOK
	}
	return sqlite.AuthorizerDeny
}

// internalTable names tables that users must not reach: the platform's own,
// and virtual tables that show the file itself.
func internalTable(name string) bool {
	n := strings.ToLower(name)
	return strings.HasPrefix(n, "_cf_") || n == "sqlite_dbpage" || n == "dbstat" || n == "sqlite_dbdata" || n == "sqlite_dbptr"
}

// pragmaAllowed follows the platform's list
// (https://developers.cloudflare.com/d1/sql-api/sql-statements/).
func pragmaAllowed(name, value string) bool {
	switch strings.ToLower(name) {
	case "table_list", "table_info", "table_xinfo", "index_list", "index_info", "index_xinfo", "quick_check", "integrity_check",
		"foreign_key_check", "foreign_key_list", "defer_foreign_keys", "case_sensitive_like", "ignore_check_constraints",
		"legacy_alter_table", "recursive_triggers", "reverse_unordered_selects", "optimize", "function_list", "compile_options", "collation_list":
		return true
	case "foreign_keys", "data_version", "page_count", "page_size", "freelist_count", "user_version", "application_id", "schema_version":
		return value == ""
	}
	return false
}
