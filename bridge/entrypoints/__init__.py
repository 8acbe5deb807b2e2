"""Where a gate is declared or a runner calls: Python, FlowyML, a GitHub job, an Argo pod."""
