# The front door. `make` or `make help` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help build run test test-long test-kafka-clients test-kafka-suites test-kafka-doors test-k8s test-kubelet power-loss power-cut-peers sanitize rxe-shell figure figures doctor format clean

help:            ## list these targets
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 26

build:           ## build rdmad, optimised; installs what is missing first
	tools/install-dependencies
	swift build -c release

run:             ## the flights example, from an empty broker to checked answers (FABRIC=shm|rxe, default shm)
	tools/run-flights

test:            ## the tests: on this machine, over Soft-RoCE, and the test machine itself (root)
	tools/test

test-long:       ## the same, longer, with Java clients and client suites; all but test-kubelet and sanitize (root)
	RDMAD_TEST_LONG=1 tools/test

test-kafka-clients: ## six Kafka clients as they come from the registries, on all that each can do (CLIENT=kcat)
	tools/test-kafka-clients $(CLIENT)

test-kafka-suites: ## the tests that librdkafka and kafka-python have of their own
	tools/test-kafka-suites

test-kafka-doors: ## one log behind the Kafka door and the others (FABRIC=shm|rxe, default shm)
	tools/test-kafka-doors

test-k8s:        ## the Kubernetes device plugin: unit tests, a played kubelet, Soft-RoCE, manifests
	tools/test-k8s

test-kubelet:    ## the device plugin under real kubelet code, Debian's 1.20.2, with containerd and Pods (root)
	tools/test-kubelet

power-loss:      ## the log under power cuts and kills: make power-loss SEEDS=1000000 FIRST=1
	tools/test-log $(or $(SEEDS),10000) $(or $(FIRST),1)

power-cut-peers: ## what power cuts take of acknowledged records, here and from other brokers (CUTS=100)
	tools/power-cut-peers $(or $(CUTS),100)

sanitize:        ## the unit and conformance tests under AddressSanitizer and ThreadSanitizer
	tools/sanitize address
	tools/sanitize thread

rxe-shell:       ## a shell on a machine with the Soft-RoCE device rxe0
	tools/rxe/shell

figure:          ## one figure: make figure NAME=first-light.guest-boot
	@test -n "$(NAME)" || { echo "make figure: give NAME=..., one of:"; ls tools/figures; exit 2; } >&2
	tools/figure "$(NAME)"

figures:         ## every figure against its goal
	tools/figure --all

doctor:          ## what this machine lacks for rdmad, and what to do
	swift run -c release rdmad doctor

format:          ## lay out the sources
	swift format --in-place --recursive --parallel Package.swift Sources $(wildcard Tests Benchmarks Examples)

clean:           ## remove what the build made (the cached guest kernel and data stay)
	swift package clean
