package d1

// Count tells how many statements an SQL text holds; comments and empty ones do
// not count. Callers use it where a text must be a single statement.
func Count(sql string) int { return len(split(sql)) }
