/// Kubernetes' rules for the names of extended resources.
enum ResourceName {
    /// Why a kubelet or an API server would refuse `name`; nil when it is fine.
    static func reasonAgainst(_ name: String) -> Reason? {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { return Reason("'\(name)' is not of the form vendor.domain/name") }
        return reasonAgainst(domain: parts[0]) ?? reasonAgainst(localName: parts[1])
    }

    private static func reasonAgainst(domain: String) -> Reason? {
        let labels = domain.split(separator: ".", omittingEmptySubsequences: false)
        let isValid = labels.allSatisfy { label in
            !label.isEmpty && label.count <= 63 && label.first != "-" && label.last != "-"
                && label.allSatisfy { $0.isASCII && ($0.isNumber || $0.isLowercase || $0 == "-") }
        }
        // The API server forms `requests.NAME` of it, which must fit too.
        guard isValid, domain.count <= 244 else {
            return Reason("'\(domain)' is not a DNS name in lower case (kubelets refuse it)")
        }
        if domain == "kubernetes.io" || domain.hasSuffix(".kubernetes.io") || domain == "requests"
            || domain.hasPrefix("requests.")
        {
            return Reason("'\(domain)' belongs to Kubernetes")
        }
        return nil
    }

    private static func reasonAgainst(localName: String) -> Reason? {
        let isAlphanumeric = { (character: Character) in
            character.isASCII && (character.isLetter || character.isNumber)
        }
        guard (1...63).contains(localName.count), localName.first.map(isAlphanumeric) == true,
            localName.last.map(isAlphanumeric) == true,
            localName.allSatisfy({ isAlphanumeric($0) || "-_.".contains($0) })
        else {
            return Reason(
                "'\(localName)' is not 1 to 63 letters, digits, '-', '_' or '.' with a letter or digit at either end")
        }
        return nil
    }
}
