"""ADE20K, the scene parsing benchmark of 150 classes."""
