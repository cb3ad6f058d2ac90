// Command firedrill runs disaster-recovery drills as code; see README.md.
package main

import (
	"os"

	"firedrill/internal/cli"
)

func main() { os.Exit(cli.Main()) }
