package import TopicLog
package import TopicProtocol

/// A refusal that goes to a client: Kafka's code, and what happened in words.
package struct BrokerError: Error, Sendable, CustomStringConvertible {
    package let code: ErrorCode
    package let description: String
    /// What it needs is only taken by others for now: the same request does soon.
    package let isTransient: Bool

    package init(_ code: ErrorCode, _ description: String, isTransient: Bool = false) {
        self.code = code
        self.description = description
        self.isTransient = isTransient
    }

    package init(_ error: LogError) {
        code =
            switch error.code {
            case .invalidTopicName: .invalidTopic
            case .invalidPartitionCount: .invalidPartitions
            case .topicExists: .topicAlreadyExists
            case .invalidConfig: .invalidConfig
            case .unknownTopic: .unknownTopicOrPartition
            default: .storageError
            }
        description = error.description
        isTransient = false
    }
}

extension ErrorCode {
    package init(_ rejection: AppendRejection) {
        self =
            switch rejection {
            case .outOfOrderSequence: .outOfOrderSequence
            case .invalidProducerEpoch: .invalidProducerEpoch
            case .invalidTransactionState: .invalidTransactionState
            case .storage, .fenced: .storageError
            }
    }
}

extension AppendRejection {
    /// Words for an operator, where the producer is not the cause.
    var trouble: String? {
        switch self {
        case .storage(let error): error.description
        case .fenced(let fence): fence.description
        case .outOfOrderSequence, .invalidProducerEpoch, .invalidTransactionState: nil
        }
    }
}
