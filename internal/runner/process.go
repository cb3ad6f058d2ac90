package runner

import (
	"fmt"
	"os"
	"time"
)

// processID names this process among all that ever ran here.
func processID() string { return fmt.Sprintf("process-%d-%d", os.Getpid(), time.Now().UnixNano()) }
