package table

import "os/exec"

func handOver(string) error { return nil }

func runAsOther(*exec.Cmd) {}
