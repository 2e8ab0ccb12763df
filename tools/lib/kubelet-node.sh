# Sourced by tools/test-kubelet: a node of its own, of Debian's containerd and runc and a kubelet without an API server,
# all of it in $work. What Pods find out they write to $work/out, which they have at /out.
# shellcheck shell=bash disable=SC2154

containerd_pid='' kubelet_pid='' plugin_pid='' rdmad_pid=''
node=$work/host
kubelet_root=/var/lib/kubelet
pods=$work/pods

# What containers are made of: busybox, and a name in podman's manner. The tar is an image as `ctr` takes it.
make_image() {
  python3 - "$1" "$2" "$(command -v busybox)" <<'PYTHON'
import hashlib, io, json, sys, tarfile
path, name, busybox = sys.argv[1:]

def add(tar, name, data=None, **fields):
    entry = tarfile.TarInfo(name)
    for field, value in {'mode': 0o755, **fields}.items():
        setattr(entry, field, value)
    entry.size = len(data or b'')
    tar.addfile(entry, io.BytesIO(data) if data else None)

layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode='w') as tar:
    for directory in ('bin', 'dev', 'proc', 'sys', 'tmp', 'etc', 'run'):
        add(tar, directory, type=tarfile.DIRTYPE)
    with open(busybox, 'rb') as file:
        add(tar, 'bin/busybox', file.read())
    for applet in ('sh', 'sleep', 'ls', 'stat', 'cat', 'grep', 'env', 'id', 'echo', 'mv'):
        add(tar, f'bin/{applet}', type=tarfile.SYMTYPE, linkname='busybox')
layer = layer.getvalue()
config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {'Cmd': ['/bin/sleep', '1000000'],
                     'Env': ['PATH=/bin']}, 'rootfs': {'type': 'layers',
                     'diff_ids': ['sha256:' + hashlib.sha256(layer).hexdigest()]}}).encode()
with tarfile.open(path, 'w') as tar:
    add(tar, 'layer.tar', layer)
    add(tar, 'config.json', config)
    manifest = [{'Config': 'config.json', 'RepoTags': [name], 'Layers': ['layer.tar']}]
    add(tar, 'manifest.json', json.dumps(manifest).encode())
PYTHON
}

# eventually SECONDS COMMAND...: until the command succeeds; its last words when it does not in time.
eventually() {
  local deadline=$((SECONDS + $1)); shift
  until "$@" >"$work/last" 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { cat "$work/last"; return 1; }
    sleep 0.1
  done
}

start_node() {
  "$tools/install-kubernetes" containerd && kubelet=$("$tools/install-kubernetes" kubelet)/kubelet || return 1
  mkdir -p "$pods" "$work/out" "$kubelet_root" "$work/kubelet" "$work/containerd" "$work/run"
  mount --bind "$work/kubelet" "$kubelet_root" || return 1
  chmod 777 "$work/out"
  python3 "$tests/kubelet/two_hcas.py" "$node"
  # A runtime looks in /dev, whatever the plugin's --dev-root. The directory stays: to remove it would take away the
  # mounts of others who test here.
  mkdir -p /dev/infiniband && mount --bind "$node/dev/infiniband" /dev/infiniband || return 1
  cat >"$node/config.json" <<END
{"version": "v1", "resources": [
  {"name": "rdmad.dev/hca", "shares": 4, "selectors": [{"rdmaDevices": ["*"]}]},
  {"name": "rdmad.dev/client", "seats": 4}]}
END
  cat >"$work/containerd.toml" <<END
version = 2
root = "$work/containerd"
state = "$work/run"
[grpc]
  address = "$work/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "rdmad.test/pod:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$work/no-cni"
    conf_dir = "$work/no-cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
END
  containerd --config "$work/containerd.toml" >"$work/containerd.log" 2>&1 & containerd_pid=$!
  eventually 30 ctr -a "$work/containerd.sock" version || { tail "$work/containerd.log"; return 1; }
  make_image "$work/image.tar" rdmad.test/pod:1
  ctr -a "$work/containerd.sock" -n k8s.io images import "$work/image.tar" || return 1
  kubelet_port=$(free_port)
  cat >"$work/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $kubelet_port
healthzPort: 0
readOnlyPort: 0
staticPodPath: $pods
fileCheckFrequency: 1s
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
makeIPTablesUtilChains: false
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
evictionHard: {memory.available: 10Mi, nodefs.available: 1%, imagefs.available: 1%}
nodeStatusUpdateFrequency: 1s
END
  start_kubelet
  eventually 60 [ -S "$kubelet_root/device-plugins/kubelet.sock" ] || { tail "$work/kubelet.log"; return 1; }
}

start_kubelet() {
  "$kubelet" --config="$work/kubelet.yaml" --root-dir="$kubelet_root" --container-runtime=remote \
    --container-runtime-endpoint="unix://$work/containerd.sock" --hostname-override=node \
    --cert-dir="$work/certificates" --v=4 >>"$work/kubelet.log" 2>&1 & kubelet_pid=$!
}

start_plugin() {
  "$plugin" run --config "$node/config.json" --kubelet-root "$kubelet_root" --sysfs-root "$node/sys" \
    --dev-root "$node/dev" --cdi off --seat-directory "$work/seats" --metrics-address "127.0.0.1:$(free_port)" \
    --poll-interval 0.2 --log-level debug >>"$work/plugin.log" 2>&1 & plugin_pid=$!
}
# The checkpoint of the device manager has the healthy devices of every resource; it is written for every list. Of a
# kubelet that has just started it is the one of the kubelet before, so the log must have a list since then too.
devices_are() {
  local count
  count=$(python3 -c '
import json, sys
devices = json.load(open(sys.argv[1]))["Data"]["RegisteredDevices"]
print(len(devices.get(sys.argv[2]) or []))' "$kubelet_root/device-plugins/kubelet_internal_checkpoint" "$1") || return 1
  [ "$count" = "$2" ] || { echo "$1: $count devices"; return 1; }
}
pushed_since() {
  tail -c "+$(($1 + 1))" "$work/kubelet.log" | grep -q 'State pushed for device plugin rdmad.dev/hca'
}
log_size() { stat -c %s "$work/kubelet.log"; }
plugin_registered() {
  start_plugin
  eventually 20 devices_are rdmad.dev/hca 8 || { tail "$work/plugin.log"; return 1; }
  devices_are rdmad.dev/client 0 || devices_are rdmad.dev/client 4
}

# pod NAME RESOURCES SCRIPT [VOLUMES MOUNTS]: a static Pod without a privilege that runs a line of shell, then sleeps.
pod() {
  cat >"$work/pod.yaml" <<END
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: default, uid: $1}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: 1000, runAsGroup: 1000}
  volumes: [{name: out, hostPath: {path: $work/out}}${4:-}]
  containers:
  - name: app
    image: rdmad.test/pod:1
    imagePullPolicy: Never
    command: [/bin/sh, -c, '( $3 ) >/out/$1.new 2>&1; echo "status \$?" >>/out/$1.new; mv /out/$1.new /out/$1;
      exec sleep 100000']
    resources: {limits: {$2}, requests: {$2}}
    volumeMounts: [{name: out, mountPath: /out}${5:-}]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
END
  cp "$work/pod.yaml" "$pods/$1.yaml"
}
# said NAME: waits until the Pod has said what it has to say, leaves that in $out.
said() {
  eventually 40 [ -e "$work/out/$1" ] || { grep -E "$1.*([Ee]rror|[Ff]ail)" "$work/kubelet.log" | tail -n 5; return 1; }
  out=$(<"$work/out/$1")
}

look='cd /dev/infiniband && for n in *; do stat -c "%n %F" $n; echo >$n || exit 3; done;
  env | grep -E "^(RDMAD|PCIDEVICE)_"; grep CapEff /proc/self/status'
pod_has_its_devices() {
  pod hca 'rdmad.dev/hca: 1' "$look"
  said hca || return 1
  echo "$out"
  contains "$out" 'rdma_cm character special file' && contains "$out" 'CapEff:	0000000000000000' \
    && contains "$out" 'status 0' && [ "$(grep -c '^uverbs. character' <<<"$out")" = 1 ] || return 1
  contains "$out" "RDMAD_DEVICES=mlx5_$(sed -n 's/^uverbs\(.\) .*/\1/p' <<<"$out")"
}
pod_without_has_none() {
  pod none 'cpu: 1m' 'ls /dev/infiniband'
  said none && contains "$out" 'No such file' && contains "$out" 'status 1'
}
pod_asks_too_much() {
  pod greedy 'rdmad.dev/hca: 8' 'true'
  eventually 30 grep -qE 'greedy.*(requested number of devices unavailable for|Insufficient|OutOf) ?rdmad.dev/hca' \
    "$work/kubelet.log" || return 1
  [ ! -e "$work/out/greedy" ] || { echo 'it ran'; return 1; }
  rm "$pods/greedy.yaml"
}

pod_has_a_seat() {
  local program=${RDMAD_PROGRAM:-$tools/../.build/debug/rdmad}
  [ -x "$program" ] || { echo "$program is not built: run swift build, or set RDMAD_PROGRAM"; return 1; }
  "$program" serve --data "$work/data" --listen "shm://$work/rdmad.sock" --seats 4 --seat-directory "$work/seats" \
    >"$work/rdmad.log" 2>&1 & rdmad_pid=$!
  eventually 20 [ -S "$work/seats/seat-3/rdmad.sock" ] || { cat "$work/rdmad.log"; return 1; }
  eventually 20 devices_are rdmad.dev/client 4 || return 1
  local host='' mounts='' directory libraries
  # Built without static libraries: the machine's own are mounted, and nothing else of it.
  libraries=$(ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\)\/[^/]* .*/\1/p;s/^\s*\(\/lib[^ ]*\)\/[^/]* .*/\1/p' | sort -u)
  for directory in $libraries "$(dirname "$(realpath "$program")")"; do
    host+=", {name: v$((++volume_count)), hostPath: {path: $directory}}"
    mounts+=", {name: v$volume_count, mountPath: $directory, readOnly: true}"
  done
  local rdmad; rdmad=$(realpath "$program")
  pod seat 'rdmad.dev/client: 1' "env | grep RDMAD; ls /dev/infiniband; ls /run/rdmad; \
    $rdmad topic create seats && echo hello from a seat | $rdmad produce seats && $rdmad consume seats --exit-at-end" \
    "$host" "$mounts"
  said seat || return 1
  echo "$out"
  contains "$out" 'RDMAD_SEAT=seat-' && contains "$out" 'hello from a seat' && contains "$out" 'status 0' \
    && contains "$out" '/dev/infiniband: No such file'
}
volume_count=0

tasks() { ctr -a "$work/containerd.sock" -n k8s.io tasks ls -q | sort; }
kubelet_killed() {
  local before since
  before=$(tasks)
  kill -9 "$kubelet_pid"; wait "$kubelet_pid" 2>/dev/null
  since=$(log_size)
  start_kubelet
  eventually 30 pushed_since "$since" || { tail "$work/plugin.log"; return 1; }
  eventually 10 devices_are rdmad.dev/hca 8 || return 1
  sleep 3                  # it looks after its Pods again
  equal "$(tasks)" "$before"
}
plugin_killed() {
  local since
  since=$(log_size)
  kill -9 "$plugin_pid"; wait "$plugin_pid" 2>/dev/null
  eventually 10 unhealthy_since "$since" || return 1
  since=$(log_size)
  start_plugin
  eventually 20 pushed_since "$since"
}
unhealthy_since() {
  tail -c "+$(($1 + 1))" "$work/kubelet.log" | grep -q 'Mark all resources Unhealthy for resource rdmad.dev/hca'
}
kubelets_come_and_go() {
  local round since
  for round in 1 2 3 4 5; do
    kill -9 "$kubelet_pid"; wait "$kubelet_pid" 2>/dev/null
    since=$(log_size)
    start_kubelet
    eventually 30 pushed_since "$since" || { echo "round $round"; tail "$work/plugin.log"; return 1; }
  done
  eventually 10 devices_are rdmad.dev/hca 8
}

# Everything ends: what is left of Pods, then what ran them.
stop_node() {
  local task pid mount
  [ -z "$kubelet_pid" ] || { kill -9 "$kubelet_pid"; wait "$kubelet_pid"; } 2>/dev/null
  if [ -n "$containerd_pid" ]; then
    for task in $(tasks 2>/dev/null); do
      ctr -a "$work/containerd.sock" -n k8s.io tasks kill -s KILL "$task"
    done >/dev/null 2>&1
    for task in $(ctr -a "$work/containerd.sock" -n k8s.io containers ls -q 2>/dev/null); do
      ctr -a "$work/containerd.sock" -n k8s.io tasks delete --force "$task"
      ctr -a "$work/containerd.sock" -n k8s.io containers delete "$task"
    done >/dev/null 2>&1
    kill "$containerd_pid" 2>/dev/null
    wait "$containerd_pid" 2>/dev/null
  fi
  for pid in $plugin_pid $rdmad_pid; do { kill -9 "$pid" && wait "$pid"; } 2>/dev/null; done
  # Deepest first.
  while read -r mount; do umount -l "$mount"; done \
    < <(awk '{ print $2 }' /proc/mounts | grep -E "^($work|$kubelet_root|/dev/infiniband)(/|$)" | sort -r)
  rm -rf --one-file-system "$work"
}
