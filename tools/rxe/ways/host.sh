# The way `host`: this machine's own kernel has rxe. Sourced by ../run.
# shellcheck shell=bash

# Makes sure that rxe0 is active at 10.9.0.1 and 10.9.0.2, over a dummy network device of its own.
host_device() {
  command -v rdma >/dev/null || { reason="the tool 'rdma' is missing"; return 1; }
  if ! [ -e /sys/class/infiniband/rxe0 ]; then
    [ "$(id -u)" = 0 ] || { reason="there is no rxe0, and only root can add it"; return 1; }
    # Success is judged below: rxe may also be built into the kernel.
    modprobe rdma_rxe 2>/dev/null || true
    [ -d /sys/class/infiniband ] || { reason="this kernel has no rdma_rxe"; return 1; }
    [ -e /sys/class/net/dummy0 ] || ip link add dummy0 type dummy 2>/dev/null || { reason="cannot add dummy0"; return 1; }
    ip link set dummy0 mtu 9000 up
    ip addr replace 10.9.0.1/24 dev dummy0
    ip addr replace 10.9.0.2/24 dev dummy0
    rdma link add rxe0 type rxe netdev dummy0 2>/dev/null || { reason="'rdma link add' was refused"; return 1; }
  fi
  grep -q ACTIVE /sys/class/infiniband/rxe0/ports/1/state || { reason="rxe0 is not active"; return 1; }
  [[ $(ip -4 -o addr show) == *' 10.9.0.1/'* ]] || { reason="rxe0 exists, but no device has the address 10.9.0.1"; return 1; }
}

run_host() {
  host_device || return 1
  ulimit -l unlimited 2>/dev/null || say "cannot raise the memlock limit ($(ulimit -l) KiB): large regions will be refused"
  ulimit -n 65536 2>/dev/null || true
  if [ -n "$interactive" ]; then
    status=0; "$@" || status=$?
    return 0
  fi
  supervise "$@"
  status=0; wait_supervised || status=$?
  if timed_out; then status=124; fi
}
