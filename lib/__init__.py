"""What the chapters share: `lib.course` for every chapter, and one package for each part's subject."""
