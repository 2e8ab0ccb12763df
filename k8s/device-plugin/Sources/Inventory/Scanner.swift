/// Reads the inventory from sysfs. It needs no privilege and no list of vendors.
///
/// Sources: Documentation/ABI/stable/sysfs-class-infiniband and sysfs-bus-pci of the kernel.
package struct Scanner: Sendable {
    private let sysfs: FileTree
    private let devices: FileTree

    /// Reads below `/sys` and `/dev`, or what stands for them.
    package init(sysfsRoot: String = "/sys", deviceRoot: String = "/dev") {
        sysfs = FileTree(sysfsRoot)
        devices = FileTree(deviceRoot)
    }

    /// The node as it is now: some twenty small files per device, no addresses (``gids(of:limit:)``).
    package func scan() -> Inventory {
        var inventory = Inventory(
            devices: [], hasConnectionManager: hasNode("rdma_cm") && sysfs.exists("class/misc/rdma_cm"),
            isExclusiveNamespace: exclusiveNamespace(), remarks: [])
        let verbs = characterDevices("class/infiniband_verbs")
        let management = characterDevices("class/infiniband_mad")
        for name in sysfs.list("class/infiniband") {
            var device = device(name)
            let node = verbs[name]?.first
            device.verbs = node.flatMap { hasNode($0) ? $0 : nil }
            device.management = (management[name] ?? []).filter(hasNode)
            if device.verbs == nil {
                inventory.remarks.append(
                    node.map { "\(name): \(devices.location("infiniband/\($0)")) is missing" }
                        ?? "\(name): it has no uverbs device: load ib_uverbs")
            }
            inventory.devices.append(device)
        }
        return inventory
    }

    /// The addresses of a device's ports, at most `limit` a port: large tables are slow to read and to hand on.
    package func gids(of device: RDMADevice, limit: Int = 32) -> [GID] {
        device.ports.flatMap { port -> [GID] in
            let path = "class/infiniband/\(device.name)/ports/\(port.number)"
            let indices = sysfs.list("\(path)/gids").compactMap(Int.init).sorted()
            return indices.lazy.compactMap { index -> GID? in
                guard let value = sysfs.read("\(path)/gids/\(index)"), value.contains(where: { !"0:".contains($0) })
                else { return nil }
                let type = sysfs.read("\(path)/gid_attrs/types/\(index)")
                let netdev = sysfs.read("\(path)/gid_attrs/ndevs/\(index)")
                return GID(
                    port: port.number, index: index, value: value, type: type.flatMap { $0.isEmpty ? nil : $0 },
                    netdev: netdev.flatMap { $0.isEmpty ? nil : $0 })
            }.prefix(limit).map { $0 }
        }
    }

    private func device(_ name: String) -> RDMADevice {
        let path = "class/infiniband/\(name)"
        let software = softwareDriver(path)
        // Some kernels give a software device the parent of its network interface: that one is not its own.
        let pci = software == nil ? pciFunction(path) : nil
        // A subfunction's own directory does not say it.
        let node = pci.flatMap { sysfs.read("\($0.path)/numa_node") }.flatMap { Int($0) }
        return RDMADevice(
            name: name, nodeGUID: sysfs.read("\(path)/node_guid") ?? "", pci: pci?.function,
            driver: software ?? pci.flatMap { sysfs.linkName("\($0.path)/driver") },
            numaNode: node.flatMap { $0 >= 0 ? $0 : nil }, netdevs: interfaces(path, pci?.path),
            ports: ports(path), verbs: nil, management: [])
    }

    private func softwareDriver(_ path: String) -> String? {
        // rxe is the only driver with a file `parent`; siw says it in its description.
        if sysfs.exists("\(path)/parent") { return "rdma_rxe" }
        if sysfs.read("\(path)/node_desc") == "Software iWARP stack" { return "siw" }
        return nil
    }

    /// The nearest PCI function above a device, and its path.
    private func pciFunction(_ path: String) -> (function: RDMADevice.PCIFunction, path: String)? {
        guard let parts = sysfs.realParts("\(path)/device"), let at = parts.lastIndex(where: isPCIAddress),
            let root = parts.firstIndex(where: isPCIRoot)
        else { return nil }
        // `device` leads to the function, or to something below it.
        let up = String(repeating: "/..", count: parts.count - 1 - at)
        let function = "\(path)/device\(up)"
        let hexadecimal = { (file: String) in
            sysfs.read("\(function)/\(file)").map { $0.hasPrefix("0x") ? String($0.dropFirst(2)) : $0 } ?? ""
        }
        return (
            RDMADevice.PCIFunction(
                address: parts[at], root: parts[root], vendor: hexadecimal("vendor"), device: hexadecimal("device"),
                physicalFunction: sysfs.linkName("\(function)/physfn"),
                auxiliary: at == parts.count - 1 ? nil : parts[parts.count - 1],
                subfunction: sysfs.read("\(path)/device/sfnum").flatMap { Int($0) }), function
        )
    }

    private func interfaces(_ path: String, _ pciPath: String?) -> [RDMADevice.NetworkInterface] {
        var names: [String] = []
        if pciPath != nil { names = sysfs.list("\(path)/device/net") }
        if let parent = sysfs.read("\(path)/parent"), !parent.isEmpty { names.append(parent) }
        for port in sysfs.list("\(path)/ports") {
            // The first address is the interface's own: the bond's where a bond owns the device.
            if let name = sysfs.read("\(path)/ports/\(port)/gid_attrs/ndevs/0"), !name.isEmpty, !names.contains(name) {
                names.append(name)
            }
        }
        return names.map { name in
            let type = sysfs.read("class/net/\(name)/type").flatMap { Int($0) }
            return RDMADevice.NetworkInterface(name: name, linkType: type.map(linkType))
        }
    }

    private func ports(_ path: String) -> [RDMADevice.Port] {
        sysfs.list("\(path)/ports").compactMap(Int.init).sorted().map { number in
            // "4: ACTIVE"
            let state = sysfs.read("\(path)/ports/\(number)/state")?.split(separator: " ").last.map(String.init)
            return RDMADevice.Port(
                number: number, state: state ?? "",
                linkLayer: sysfs.read("\(path)/ports/\(number)/link_layer") ?? "")
        }
    }

    /// The entries of a class, by the RDMA device that each belongs to.
    private func characterDevices(_ path: String) -> [String: [String]] {
        var found: [String: [String]] = [:]
        for name in sysfs.list(path) {
            if let device = sysfs.read("\(path)/\(name)/ibdev") { found[device, default: []].append(name) }
        }
        return found
    }

    /// Where the directory of nodes is not shown to us, sysfs is believed; so is it when what we are shown is the
    /// directory of before the driver was loaded again, which a container keeps.
    private func hasNode(_ name: String) -> Bool {
        devices.exists("infiniband/\(name)") || !devices.isLinked("infiniband")
    }

    private func exclusiveNamespace() -> Bool? {
        // Despite its name the parameter follows `rdma system set netns`.
        switch sysfs.read("module/ib_core/parameters/netns_mode") {
        case "Y", "1": false
        case "N", "0": true
        default: nil
        }
    }
}

/// `0000:3b:00.0`; domains may have more digits (VMD).
private func isPCIAddress(_ text: String) -> Bool {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0].count >= 4, parts[1].count == 2 else { return false }
    let last = parts[2].split(separator: ".", omittingEmptySubsequences: false)
    return last.count == 2 && last[0].count == 2 && last[1].count == 1
        && [parts[0], parts[1], last[0], last[1]].allSatisfy { $0.allSatisfy(\.isHexDigit) }
}

/// `pci0000:3a`.
private func isPCIRoot(_ text: String) -> Bool {
    let parts = text.dropFirst(3).split(separator: ":", omittingEmptySubsequences: false)
    return text.hasPrefix("pci") && parts.count == 2 && parts[0].count >= 4 && parts[1].count == 2
        && parts.allSatisfy { $0.allSatisfy(\.isHexDigit) }
}

/// The names of `ip link` for ARPHRD_ numbers.
private func linkType(_ number: Int) -> String {
    switch number {
    case 1: "ether"
    case 32: "infiniband"
    case 772: "loopback"
    default: "\(number)"
    }
}
