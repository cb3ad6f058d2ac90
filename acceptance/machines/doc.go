// Package machines runs drills whose state is in a bucket, on a real S3 server,
// from homes that stand for two machines: one finishes what another began, and
// whoever was suspended meanwhile cannot act.
package machines
