"""From documents to questions, answers and preferences, with or without a teacher; each row says where it is from."""
