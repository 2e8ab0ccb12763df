/// An operating error of a fabric: what was being done, the system's error number, and words for a person.
public struct FabricError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure. Extensible: compare with the constants.
    public struct Code: Hashable, Sendable {
        /// The code as text.
        public let rawValue: String
        /// A code of any text.
        public init(rawValue: String) { self.rawValue = rawValue }
        /// A system call or verb failed: see `errno`.
        public static let system = Code(rawValue: "system")
        /// The memlock limit is too small for a registration.
        public static let memoryLockLimit = Code(rawValue: "memory-lock-limit")
        /// No RDMA device, or none that fits.
        public static let noDevice = Code(rawValue: "no-device")
        /// The address cannot be used: bad path, bad host, in use.
        public static let address = Code(rawValue: "address")
        /// A table or queue is full.
        public static let limit = Code(rawValue: "limit")
        /// The device, its driver or the kernel does not have it.
        public static let unsupported = Code(rawValue: "unsupported")
        /// The connection is not in a state for it.
        public static let state = Code(rawValue: "state")
    }

    /// The kind of failure.
    public let code: Code
    /// The call that failed, such as `ibv_reg_mr`.
    public let operation: String
    /// The system's error number, or 0.
    public let errorNumber: Int32
    /// What happened, to what, what to do.
    public let description: String

    package init(_ code: Code, operation: String, errorNumber: Int32 = 0, _ detail: String) {
        self.code = code
        self.operation = operation
        self.errorNumber = errorNumber
        self.description = errorNumber == 0 ? detail : "\(detail): \(errorText(errorNumber)) (\(operation))"
    }

    /// True when trying again later may help.
    public var isRetriable: Bool {
        code == .limit || errorNumber == 11 /* EAGAIN */ || errorNumber == 111 /* ECONNREFUSED */
    }
}
