package import Inventory

/// Names for devices that survive restarts, reboots and another order of enumeration: the kubelet keeps them on disk.
package enum DeviceIdentity {
    /// With the `-` and number of a share an id has at most 63 characters, the API's limit.
    package static let lengthMax = 56

    /// An identity for each device of an inventory, by the kernel's name.
    ///
    /// That is the PCI address, with what tells siblings on one function apart; for software the kernel's name.
    package static func identities(of devices: [RDMADevice]) -> [String: String] {
        var first: [String: String] = [:]
        for device in devices { first[device.name] = identity(of: device) }
        let counts = Dictionary(first.values.map { ($0, 1) }, uniquingKeysWith: +)
        return first.reduce(into: [:]) { result, entry in
            // Two devices of one function: no other name of theirs is known to be stable.
            let identity = counts[entry.value] == 1 ? entry.value : "\(entry.value).\(entry.key)"
            result[entry.key] = shortened(identity)
        }
    }

    private static func identity(of device: RDMADevice) -> String {
        guard let pci = device.pci else { return device.name }
        return pci.auxiliary.map { "\(pci.address).\($0)" } ?? pci.address
    }

    private static func shortened(_ text: String) -> String {
        guard text.utf8.count > lengthMax else { return text }
        // FNV-1a over the whole.
        let hash = text.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        return "\(text.prefix(lengthMax - 9))-\(String(hash, radix: 16))"
    }
}
