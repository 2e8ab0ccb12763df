// Drives the device plugin by the kubelet's own device manager, Kubernetes 1.20.2: this file is compiled into that
// package (tools/install-kubernetes), to start and stop managers as a kubelet does. tools/test-kubelet gives a node's
// sysfs with two HCAs, mlx5_0 on NUMA node 0 and mlx5_1 on node 1, and a config of four shares each.
package devicemanager

import (
	"fmt"
	"io/ioutil"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/kubelet/cm/topologymanager"
	"k8s.io/kubernetes/pkg/kubelet/cm/topologymanager/bitmask"
)

const hca = v1.ResourceName("rdmad.dev/hca")

// affinity says which NUMA nodes a container shall have; nil: it does not matter.
type affinity struct{ nodes bitmask.BitMask }

func (a *affinity) GetAffinity(podUID string, containerName string) topologymanager.TopologyHint {
	return topologymanager.TopologyHint{NUMANodeAffinity: a.nodes, Preferred: true}
}

// rdmadNode is a kubelet's directory, and the plugin as a process.
type rdmadNode struct {
	t        *testing.T
	root     string
	manager  *ManagerImpl
	affinity affinity
	pods     []*v1.Pod
	plugin   *exec.Cmd
}

func newRdmadNode(t *testing.T) *rdmadNode {
	root, err := ioutil.TempDir("", "rdmad-kubelet")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "device-plugins"), 0750); err != nil {
		t.Fatal(err)
	}
	return &rdmadNode{t: t, root: root}
}

func (n *rdmadNode) close() {
	n.stopPlugin(syscall.SIGKILL)
	n.stopKubelet()
	os.RemoveAll(n.root)
}

func (n *rdmadNode) startKubelet() {
	socket := filepath.Join(n.root, "device-plugins", "kubelet.sock")
	manager, err := newManagerImpl(socket, nil, &n.affinity)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := manager.Start(func() []*v1.Pod { return n.pods }, &sourcesReadyStub{}); err != nil {
		n.t.Fatal(err)
	}
	n.manager = manager
}

func (n *rdmadNode) stopKubelet() {
	if n.manager != nil {
		n.manager.Stop()
		n.manager = nil
	}
}

func (n *rdmadNode) startPlugin() {
	node := os.Getenv("RDMAD_NODE")
	n.plugin = exec.Command(os.Getenv("RDMAD_DEVICE_PLUGIN"), "run", "--config", filepath.Join(node, "config.json"),
		"--kubelet-root", n.root, "--sysfs-root", filepath.Join(node, "sys"), "--dev-root", filepath.Join(node, "dev"),
		"--cdi", "off", "--metrics-address", "127.0.0.1:"+os.Getenv("RDMAD_METRICS_PORT"), "--poll-interval", "0.2")
	log, err := os.OpenFile(filepath.Join(node, "plugin.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0644)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	n.plugin.Stdout, n.plugin.Stderr = log, log
	if err := n.plugin.Start(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *rdmadNode) stopPlugin(by syscall.Signal) {
	if n.plugin != nil {
		n.plugin.Process.Signal(by)
		n.plugin.Wait()
		n.plugin = nil
	}
}

// waitFor waits until the node has so many devices, healthy and in all; it says how long that took.
func (n *rdmadNode) waitFor(capacity, allocatable int64, limit time.Duration) time.Duration {
	n.t.Helper()
	began := time.Now()
	for {
		capacities, allocatables, _ := n.manager.GetCapacity()
		c, a := capacities[hca], allocatables[hca]
		if c.Value() == capacity && a.Value() == allocatable {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			n.t.Fatalf("capacity %d, allocatable %d after %s; expected %d, %d",
				c.Value(), a.Value(), limit, capacity, allocatable)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// admit admits a pod with one container that asks for so many: the ids that it has, and what the runtime is told.
func (n *rdmadNode) admit(name string, count int64) ([]string, *DeviceRunContainerOptions, error) {
	limits := v1.ResourceList{hca: *resource.NewQuantity(count, resource.DecimalSI)}
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)},
		Spec: v1.PodSpec{Containers: []v1.Container{{
			Name: "app", Resources: v1.ResourceRequirements{Limits: limits, Requests: limits}}}},
	}
	n.pods = append(n.pods, pod)
	if err := n.manager.Allocate(pod, &pod.Spec.Containers[0]); err != nil {
		n.pods = n.pods[:len(n.pods)-1]
		return nil, nil, err
	}
	options, err := n.manager.GetDeviceRunContainerOptions(pod, &pod.Spec.Containers[0])
	return n.ids(name), options, err
}

func (n *rdmadNode) ids(pod string) []string {
	ids := n.manager.podDevices.containerDevices(pod, "app", string(hca)).List()
	sort.Strings(ids)
	return ids
}

func (n *rdmadNode) setState(device, state string) {
	path := filepath.Join(os.Getenv("RDMAD_NODE"), "sys/class/infiniband", device, "ports/1/state")
	if err := ioutil.WriteFile(path+".new", []byte(state+"\n"), 0644); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		n.t.Fatal(err)
	}
}

func TestRdmadIsCountedAndGivesItsDevices(t *testing.T) {
	n := newRdmadNode(t)
	defer n.close()
	n.startKubelet()
	n.startPlugin()
	n.waitFor(8, 8, 10*time.Second)
	ids, options, err := n.admit("one", 1)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, device := range options.Devices {
		paths = append(paths, device.PathInContainer+" "+device.Permissions)
	}
	sort.Strings(paths)
	verbs := "uverbs0"
	if strings.HasPrefix(ids[0], "0000:af:00.0") {
		verbs = "uverbs1"
	}
	want := fmt.Sprintf("[/dev/infiniband/rdma_cm rw /dev/infiniband/%s rw]", verbs)
	if fmt.Sprint(paths) != want {
		t.Fatalf("%s of %v, expected %s", paths, ids, want)
	}
	environment := map[string]string{}
	for _, variable := range options.Envs {
		environment[variable.Name] = variable.Value
	}
	if environment["RDMAD_DEVICES"] != "mlx5_"+verbs[6:] {
		t.Fatalf("environment %v", environment)
	}
	if _, _, err := n.admit("too many", 8); err == nil {
		t.Fatal("eight of seven were admitted")
	}
	if _, _, err := n.admit("the rest", 7); err != nil {
		t.Fatal(err)
	}
}

func TestRdmadPacksByPreference(t *testing.T) {
	n := newRdmadNode(t)
	defer n.close()
	n.startKubelet()
	n.startPlugin()
	n.waitFor(8, 8, 10*time.Second)
	if _, _, err := n.admit("one", 1); err != nil {
		t.Fatal(err)
	}
	// Four more fit on the other HCA alone.
	four, _, err := n.admit("four", 4)
	if err != nil || len(four) != 4 || strings.SplitN(four[0], "-", 2)[0] != strings.SplitN(four[3], "-", 2)[0] {
		t.Fatalf("%v, %v", four, err)
	}
}

func TestRdmadOutlivesKubelets(t *testing.T) {
	n := newRdmadNode(t)
	defer n.close()
	n.startKubelet()
	n.startPlugin()
	n.waitFor(8, 8, 10*time.Second)
	ids, _, err := n.admit("pod", 3)
	if err != nil {
		t.Fatal(err)
	}
	longest := time.Duration(0)
	for round := 0; round < 50; round++ {
		n.stopKubelet()
		n.startKubelet()
		took := n.waitFor(8, 8, 2*time.Second)
		if took > longest {
			longest = took
		}
		// From the checkpoint; nobody else may have them.
		if fmt.Sprint(n.ids("pod")) != fmt.Sprint(ids) {
			t.Fatalf("round %d: the pod has %v, it had %v", round, n.ids("pod"), ids)
		}
	}
	if _, _, err := n.admit("too many", 6); err == nil {
		t.Fatal("six of five were admitted")
	}
	others, _, err := n.admit("others", 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range others {
		for _, taken := range ids {
			if id == taken {
				t.Fatalf("%s was given twice", id)
			}
		}
	}
	t.Logf("50 restarts: devices are back after at most %s", longest)
}

func TestRdmadPluginRestartsKeepIds(t *testing.T) {
	n := newRdmadNode(t)
	defer n.close()
	n.startKubelet()
	n.startPlugin()
	n.waitFor(8, 8, 10*time.Second)
	ids, _, err := n.admit("pod", 2)
	if err != nil {
		t.Fatal(err)
	}
	for round := 0; round < 20; round++ {
		n.stopPlugin([]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[round%2])
		n.waitFor(8, 0, 2*time.Second)
		if round%5 == 4 {
			n.stopKubelet()
			n.startKubelet()
		}
		n.startPlugin()
		n.waitFor(8, 8, 5*time.Second)
		for _, id := range ids {
			if !n.manager.healthyDevices[string(hca)].Has(id) {
				t.Fatalf("round %d: %s is gone", round, id)
			}
		}
	}
}

func TestRdmadHealthBothWays(t *testing.T) {
	n := newRdmadNode(t)
	defer n.close()
	n.startKubelet()
	n.startPlugin()
	n.waitFor(8, 8, 10*time.Second)
	for round := 0; round < 3; round++ {
		n.setState("mlx5_1", "1: DOWN")
		n.waitFor(8, 4, 5*time.Second)
		n.setState("mlx5_1", "4: ACTIVE")
		n.waitFor(8, 8, 5*time.Second)
	}
}

func TestRdmadTopologyIsUsed(t *testing.T) {
	n := newRdmadNode(t)
	defer n.close()
	n.startKubelet()
	n.startPlugin()
	n.waitFor(8, 8, 10*time.Second)
	for node, pci := range map[int]string{1: "0000:af:00.0-", 0: "0000:3b:00.0-"} {
		n.affinity.nodes, _ = bitmask.NewBitMask(node)
		ids, _, err := n.admit(fmt.Sprintf("on node %d", node), 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if !strings.HasPrefix(id, pci) {
				t.Fatalf("%v for NUMA node %d", ids, node)
			}
		}
	}
}

// What Debian's and today's kubelets do to a plugin that is up first: they wipe its socket.
func TestRdmadPluginIsUpFirst(t *testing.T) {
	n := newRdmadNode(t)
	defer n.close()
	for round := 0; round < 5; round++ {
		n.startPlugin()
		time.Sleep(time.Duration(round*40) * time.Millisecond)
		n.startKubelet()
		n.waitFor(8, 8, 5*time.Second)
		n.stopKubelet()
		n.startKubelet()
		n.waitFor(8, 8, 5*time.Second)
		n.stopPlugin(syscall.SIGKILL)
		n.stopKubelet()
	}
}
