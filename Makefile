# The make targets of Runnel. They need Go, make and git, and install their other tools into ./bin.

GOLANGCI_VERSION := v2.15.0
GOLANGCI := bin/golangci-lint-$(GOLANGCI_VERSION)

FUZZTIME ?= 30s
BENCHTIME ?= 1s
CUTS ?= 100
SOAK ?= 1h
BEGINS ?= 10000
CHECKS ?= 200
STEPS ?= 60
FLIPS ?= 200

# The version of nats-server from which the rig upgrades.
OLDER_NATS ?= v2.15.2

# The number of packages that are tested at the same time: one more than there are processors, because tests of servers
# mostly wait.
PROCESSORS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
ABREAST := $(shell expr $(PROCESSORS) + 1)

# The number of tests of one package that run at the same time, among those that allow it. They mostly wait as well.
PARALLEL := 4

# Modules of their own, so that users do not depend on what they need.
NESTED := internal/checks/testdata/external bench chaos examples/bank/browser mutants

# The folder with the ledger that a test of examples/bank reads. Tests run in the folders of their packages, so the path
# is made absolute.
ifdef RUNNEL_LEDGER
override RUNNEL_LEDGER := $(abspath $(RUNNEL_LEDGER))
export RUNNEL_LEDGER
endif

# The file for a picture of the bank's page. If it is not set, the test takes no picture.
ifdef BANK_PICTURE
override BANK_PICTURE := $(abspath $(BANK_PICTURE))
export BANK_PICTURE
endif

# list_tests prints a line "package name" for each test function of the module that matches a pattern.
list_tests = go test -list $(1) ./... | awk '$$1 == "ok" { for (i = 0; i < n; i++) print $$2, name[i]; n = 0; next } \
	/^(Fuzz|Benchmark)/ { name[n++] = $$1 } /^FAIL/ { failed = 1 } END { exit failed }'

# cover_of_packages prints a line for each package of a profile, which lists a block once for each package
# whose tests ran.
cover_of_packages = awk -F '[: ]' 'NR > 1 { block = $$1 ":" $$2; of[block] = $$1; statements[block] = $$3; if ($$4 > 0) ran[block] = 1 } \
	END { for (b in of) { p = of[b]; sub("/[^/]*$$", "", p); all[p] += statements[b]; if (b in ran) covered[p] += statements[b] } \
	for (p in all) printf "%5.1f %%  %s\n", 100 * covered[p] / all[p], p }'

.DEFAULT_GOAL := help

.PHONY: help
help: ## print this help
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: ## serve the example bank, with an embedded server and its data in ./data
	go run ./examples/bank serve

.PHONY: test
test: ## run all tests (RUNNEL_LEDGER=folder of a ledger: also its tests)
	go test -p $(ABREAST) -parallel $(PARALLEL) -timeout 15m ./...

.PHONY: race
race: ## run the tests under the race detector, which needs a C compiler: without those about time, and with fewer repetitions
	RUNNEL_LEDGER= go test -race -short -p $(PROCESSORS) -parallel $(PARALLEL) -timeout 15m ./...

.PHONY: allocs
allocs: ## print the allocations of each command, append, load and replayed event, and compare them with their bounds
	RUNNEL_TEST_ALLOCS=1 go test -count=1 -p 1 -run '^TestAllocations$$' -v ./eventstore ./aggregate

.PHONY: test-long
test-long: ## run all tests, with CHECKS=200 runs of each property and state machine, of about STEPS=60 actions each, 200 killed processes, 1,000 payments, and tests that take a minute
	RAPID_CHECKS=$(CHECKS) RAPID_STEPS=$(STEPS) RUNNEL_TEST_KILLS=200 RUNNEL_TEST_PAYMENTS=1000 RUNNEL_TEST_LONG=1 go test -timeout 2h ./...

# The packages whose tests run on a cluster, too, and flags for go test.
CLUSTER ?= -timeout 20m ./aggregate ./kv ./projection ./reactor ./saga ./snapshot

.PHONY: test-cluster
test-cluster: ## run the tests of packages on three replicas, kept by a cluster of server processes (CLUSTER='-run Saga ./saga': others)
	RUNNEL_TEST_PACKAGES='-C .. -count=1 $(CLUSTER)' go test -count=1 -v -timeout 60m -run '^TestPackagesOnACluster$$' ./eventstoretest

.PHONY: lint
lint: $(GOLANGCI) ## check formatting, vet, go.mod, and all linters of .golangci.yml
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "run gofmt -w on: $$unformatted"; exit 1; }
	go vet ./...
	go mod tidy -diff
	$(GOLANGCI) run
	@for module in $(NESTED); do \
		echo "$$module: go vet, go mod tidy, golangci-lint" && cd $(CURDIR)/$$module && \
		go vet ./... && go mod tidy -diff && $(CURDIR)/$(GOLANGCI) run -c $(CURDIR)/.golangci.yml || exit 1; \
	done

$(GOLANGCI):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv bin/golangci-lint $@

.PHONY: check
check: lint test ## lint and test, as in CI

.PHONY: fuzz
fuzz: ## fuzz each target for FUZZTIME=30s
	@targets=$$($(call list_tests,'^Fuzz')) && echo "$$targets" | while read -r package name; do \
		test -n "$$name" || { echo "there are no fuzz targets"; exit 1; }; \
		echo "go test -run '^$$' -fuzz '^$$name\$$' -fuzztime $(FUZZTIME) $$package"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null || exit 1; \
	done

.PHONY: model
model: ## try every order of the steps of a view's processes, in under 2 minutes, and compare with model/README.md
	go run ./model

.PHONY: flips
flips: ## flip FLIPS=200 random bits on a server's disk, one at a time: each must be reported
	RUNNEL_FLIPS=$(FLIPS) go test -count=1 -run '^TestAnyFlippedBit' -v ./eventstore

.PHONY: mutants
mutants: ## seed each bug of mutants/bugs into a copy of the tree and see its test fail; an interrupted run goes on
	go -C mutants run .

.PHONY: bench
bench: ## measure beside plain nats.go and the common way, into bench/results/full; an interrupted run goes on
	go -C bench build -buildvcs=false -o ../bin/bench .
	bin/bench -revision "$$(git rev-parse --short=12 HEAD)" -out bench/results

.PHONY: bench-quick
bench-quick: ## the same in small stores and short rounds, into bench/results/quick, in under 3 minutes
	go -C bench build -buildvcs=false -o ../bin/bench .
	bin/bench -quick -fresh -revision "$$(git rev-parse --short=12 HEAD)" -out bench/results

.PHONY: bench-postgres
bench-postgres: ## measure beside a table in Postgres (apt-get install postgresql, or RUNNEL_BENCH_POSTGRES=url), into bench/results/full
	go -C bench build -buildvcs=false -o ../bin/bench .
	bin/bench -postgres -revision "$$(git rev-parse --short=12 HEAD)" -out bench/results

.PHONY: gobench
gobench: ## run the benchmarks of the packages, each for BENCHTIME=1s
	@packages=$$($(call list_tests,'^Benchmark')) && packages=$$(echo "$$packages" | cut -d' ' -f1 | sort -u) && \
	if test -z "$$packages"; then echo "there are no benchmarks"; exit 1; fi && \
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $$packages

.PHONY: powercut
powercut: ## cut the power of a store under load, CUTS=100 times in each mode (Linux, root, mkfs.xfs; see chaos/powercut/doc.go)
	go -C chaos build -o ../bin/powercut ./powercut
	bin/powercut -cuts $(CUTS)

# The programs of the rig that breaks a cluster.
.PHONY: rig
rig:
	go -C chaos build -buildvcs=false -o ../bin/natsd github.com/runnel-go/runnel/eventstoretest/internal/natsd
	cp chaos/go.mod bin/older.mod && cp chaos/go.sum bin/older.sum
	go mod edit -replace github.com/nats-io/nats-server/v2=github.com/nats-io/nats-server/v2@$(OLDER_NATS) bin/older.mod
	go -C chaos build -buildvcs=false -mod=mod -modfile=../bin/older.mod -o ../bin/natsd-older \
		github.com/runnel-go/runnel/eventstoretest/internal/natsd || \
		{ rm -f bin/natsd-older; echo "there is no older server, so upgrades are left out"; }
	go build -buildvcs=false -o bin/bank ./examples/bank
	go -C chaos build -buildvcs=false -o ../bin/cluster ./cluster

.PHONY: chaos
chaos: rig ## break servers, links and processes of the example bank in all cases of chaos/cluster (ONLY=regexp: some), and check everything
	bin/cluster -only '$(ONLY)' -tally chaos/tally.json -revision "$$(git rev-parse --short=12 HEAD)"

.PHONY: chaos-begins
chaos-begins: rig ## time BEGINS=10000 lists, watches and starts on a healthy cluster of three
	bin/cluster -begins $(BEGINS)

.PHONY: chaos-long
chaos-long: rig ## break one cluster for SOAK=1h, every 20 s in another way, and watch memory and goroutines
	bin/cluster -soak $(SOAK) -tally chaos/tally.json -revision "$$(git rev-parse --short=12 HEAD)"

.PHONY: browser
browser: ## drive the bank's page in a headless browser, if there is one (BANK_PICTURE=docs/bank.png: take the README's picture)
	go -C examples/bank/browser test -count=1 -timeout 15m -v .

.PHONY: cover
cover: ## run all tests and print the share of each package's statements that they run together (by function: go tool cover -func=coverage.out)
	go test -timeout 15m -coverpkg=./... -coverprofile=coverage.out ./...
	@$(cover_of_packages) coverage.out | sort -k 2

.PHONY: clean
clean: ## remove the files of make; ./data, which holds events, stays
	rm -rf bin coverage.out
