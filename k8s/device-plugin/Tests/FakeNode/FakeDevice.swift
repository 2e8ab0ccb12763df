/// A device to put on a fake node.
package struct FakeDevice: Sendable {
    /// `mlx5_0`.
    package var name: String
    /// 0 for `uverbs0`; nil for none.
    package var uverbs: Int?
    /// `0000:3b:00.0`; nil for software.
    package var pci: String?
    /// The host bridge.
    package var root = "pci0000:3a"
    /// Hexadecimal.
    package var vendor = "15b3"
    /// Hexadecimal.
    package var device = "1017"
    /// The kernel's module.
    package var driver = "mlx5_core"
    /// As in sysfs.
    package var numaNode = 0
    /// Empty for InfiniBand without IPoIB.
    package var netdev = ""
    /// `Ethernet` or `InfiniBand`.
    package var linkLayer = "Ethernet"
    /// One for each port.
    package var states = ["4: ACTIVE"]
    /// Whether there are `umad` and `issm`.
    package var hasManagement = false
    /// The physical function of a virtual one.
    package var physicalFunction: String?
    /// What sysfs says of software: the file `parent` of rxe, the description of siw.
    package var software: Software?

    /// A device without hardware.
    package enum Software: Sendable {
        /// Soft-RoCE.
        case rxe
        /// Soft-iWARP.
        case siw
    }

    /// A device of hardware.
    package init(_ name: String, uverbs: Int? = 0, pci: String? = nil) {
        self.name = name
        self.uverbs = uverbs
        self.pci = pci
    }
}

extension FakeNode {
    /// Puts a device on the node.
    package func add(_ device: FakeDevice) {
        let place: String
        if let pci = device.pci {
            let function = "sys/devices/\(device.root)/\(pci)"
            place = "\(function)/infiniband/\(device.name)"
            make(place)
            write("\(function)/vendor", "0x\(device.vendor)\n")
            write("\(function)/device", "0x\(device.device)\n")
            write("\(function)/numa_node", "\(device.numaNode)\n")
            make("sys/bus/pci/drivers/\(device.driver)")
            link("\(function)/driver", to: "sys/bus/pci/drivers/\(device.driver)")
            link("\(place)/device", to: function)
            if !device.netdev.isEmpty { make("\(function)/net/\(device.netdev)") }
            if let physical = device.physicalFunction {
                make("sys/devices/\(device.root)/\(physical)")
                link("\(function)/physfn", to: "sys/devices/\(device.root)/\(physical)")
            }
        } else {
            place = "sys/devices/virtual/infiniband/\(device.name)"
            make(place)
        }
        switch device.software {
        case .rxe: write("\(place)/parent", "\(device.netdev)\n")
        case .siw: write("\(place)/node_desc", "Software iWARP stack\n")
        case nil: break
        }
        write("\(place)/node_guid", "0c42:a103:0065:9bd\(device.uverbs ?? 9)\n")
        for (index, state) in device.states.enumerated() {
            let port = "\(place)/ports/\(index + 1)"
            write("\(port)/state", "\(state)\n")
            write("\(port)/link_layer", "\(device.linkLayer)\n")
            write("\(port)/gids/0", "fe80:0000:0000:0000:0e42:a1ff:fe65:9bd\(device.uverbs ?? 9)\n")
            write("\(port)/gids/1", "0000:0000:0000:0000:0000:0000:0000:0000\n")
            if !device.netdev.isEmpty {
                write("\(port)/gid_attrs/ndevs/0", "\(device.netdev)\n")
                write("\(port)/gid_attrs/types/0", "RoCE v2\n")
            }
        }
        if !device.netdev.isEmpty {
            write("sys/class/net/\(device.netdev)/type", device.linkLayer == "InfiniBand" ? "32\n" : "1\n")
        }
        link("sys/class/infiniband/\(device.name)", to: place)
        if let number = device.uverbs { addNodes(device, number) }
    }

    private func addNodes(_ device: FakeDevice, _ number: Int) {
        write("sys/class/infiniband_verbs/uverbs\(number)/ibdev", "\(device.name)\n")
        write("dev/infiniband/uverbs\(number)", "")
        make("sys/class/misc/rdma_cm")
        write("dev/infiniband/rdma_cm", "")
        guard device.hasManagement else { return }
        for name in ["umad\(number)", "issm\(number)"] {
            write("sys/class/infiniband_mad/\(name)/ibdev", "\(device.name)\n")
            write("dev/infiniband/\(name)", "")
        }
    }

    /// Takes a device away, as a driver that is unloaded does.
    package func removeDevice(_ device: FakeDevice) {
        remove("sys/class/infiniband/\(device.name)")
        if let number = device.uverbs {
            remove("sys/class/infiniband_verbs/uverbs\(number)")
            remove("dev/infiniband/uverbs\(number)")
        }
    }

    /// Changes a port's state: `4: ACTIVE`, `1: DOWN`.
    package func setState(_ device: String, port: Int = 1, _ state: String) {
        write("sys/class/infiniband/\(device)/ports/\(port)/state", "\(state)\n")
    }
}

extension FakeDevice {
    /// A ConnectX on Ethernet, a physical function with everything.
    package static let roce: FakeDevice = {
        var device = FakeDevice("mlx5_0", uverbs: 0, pci: "0000:3b:00.0")
        device.netdev = "enp59s0f0np0"
        device.hasManagement = true
        return device
    }()
    /// A virtual function: no `umad`, no `issm`.
    package static let virtualFunction: FakeDevice = {
        var device = FakeDevice("mlx5_2", uverbs: 2, pci: "0000:3b:00.2")
        device.device = "1018"
        device.netdev = "enp59s0f0v0"
        device.physicalFunction = "0000:3b:00.0"
        return device
    }()
    /// InfiniBand without IPoIB, on the other socket.
    package static let infiniband: FakeDevice = {
        var device = FakeDevice("mlx5_1", uverbs: 1, pci: "0000:af:00.0")
        device.root = "pci0000:ae"
        device.numaNode = 1
        device.linkLayer = "InfiniBand"
        device.hasManagement = true
        return device
    }()
    /// An Intel E810: RoCE and iWARP without `umad`, on a machine with one NUMA node.
    package static let irdma: FakeDevice = {
        var device = FakeDevice("irdma0", uverbs: 3, pci: "0000:18:00.0")
        device.root = "pci0000:17"
        device.vendor = "8086"
        device.device = "1592"
        device.driver = "ice"
        device.numaNode = -1
        device.netdev = "ens785f0"
        return device
    }()
    /// Soft-RoCE.
    package static let rxe: FakeDevice = {
        var device = FakeDevice("rxe0", uverbs: 4)
        device.netdev = "eth0"
        device.software = .rxe
        return device
    }()
    /// Soft-iWARP.
    package static let siw: FakeDevice = {
        var device = FakeDevice("siw0", uverbs: 5)
        device.netdev = "lo"
        device.software = .siw
        return device
    }()
}
