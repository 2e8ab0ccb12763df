/// What opening a partition found and did.
package struct PartitionRecovery: Equatable, Sendable {
    /// Batches walked and kept; those of sealed segments below the durable bound are not looked at.
    package internal(set) var batches = 0
    /// Offsets from the log's start to its end.
    package internal(set) var records: Int64 = 0
    /// Bytes cut from the log's end, all of them kept in `tornFiles`.
    package internal(set) var tornBytes: Int64 = 0
    /// Paths of the `.torn` files written, oldest data first.
    package internal(set) var tornFiles: [String] = []
    /// Why the log was cut, or nil.
    package internal(set) var tornReason: String?
    /// Bytes checked against their CRC: what lies at the durable bound or above.
    package internal(set) var bytesChecked: Int64 = 0
}
