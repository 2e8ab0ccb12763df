package import Inventory

/// Names for devices that survive restarts, reboots and another order of enumeration: the kubelet keeps them on disk.
package enum DeviceIdentity {
    /// With the `-` and number of a share an id has at most 63 characters, the API's limit.
    package static let lengthMax = 56

    /// An identity for each device of an inventory, by the kernel's name.
    ///
    /// That is the PCI address, with what tells siblings on one function apart; for software the kernel's name.
    package static func identities(of devices: [RDMADevice]) -> [String: String] {
        var taken: Set<String> = []
        // By GUID, which no order of enumeration changes. The first of a function has its plain address: it keeps it
        // when a sibling comes, of which no other name is known to be stable.
        let order = devices.sorted { ($0.nodeGUID, $0.name) < ($1.nodeGUID, $1.name) }
        return order.reduce(into: [:]) { result, device in
            let identity = identity(of: device)
            result[device.name] = shortened(
                taken.insert(identity).inserted ? identity : "\(identity).\(device.name)")
        }
    }

    private static func identity(of device: RDMADevice) -> String {
        guard let pci = device.pci else { return device.name }
        // The number of an auxiliary device is one of the enumeration, that of a subfunction is not.
        if let subfunction = pci.subfunction { return "\(pci.address).sf\(subfunction)" }
        return pci.auxiliary.map { "\(pci.address).\($0)" } ?? pci.address
    }

    private static func shortened(_ text: String) -> String {
        guard text.utf8.count > lengthMax else { return text }
        // FNV-1a over the whole.
        let hash = text.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        return "\(text.prefix(lengthMax - 9))-\(String(hash, radix: 16))"
    }
}
