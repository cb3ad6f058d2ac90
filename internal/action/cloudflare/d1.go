package cloudflare

// Database is a database as the platform describes it.
type Database struct {
	ID      string `json:"uuid"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Size    int64  `json:"file_size"`
	Created string `json:"created_at"`
}
