module github.com/runnel-go/runnel/mutants

go 1.26.0

replace github.com/runnel-go/runnel => ../
